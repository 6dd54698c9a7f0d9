//! Bytes as a file of weights: the session takes them whole, or says why not and computes what it computed before.

use sofie_infer::rt::weights_file::Error;

/// Reloads a session from bytes, between two runs of it.
pub fn reload<S>(
    session: &mut S,
    bytes: &[u8],
    reload: impl FnOnce(&mut S, &[u8]) -> Result<(), Error>,
    infer: impl Fn(&mut S) -> Vec<f32>,
) -> Result<(), Error> {
    // Weights that are NaN give outputs that are NaN: bits are compared.
    let bits = |session: &mut S| infer(session).into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let before = bits(session);
    let result = reload(session, bytes);
    let after = bits(session);
    if let Err(error) = &result {
        assert!(error.to_string().len() > 10, "{error:?} says nothing");
        assert_eq!(before, after, "the session was refused new weights and lost its old ones");
    }
    result
}
