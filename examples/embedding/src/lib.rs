//! A jet tagger behind a C interface (`include/tagger.h`), for programs that are not written in Rust.
//!
//! The network is compiled into a static library without std. Every function checks what a C compiler cannot, and
//! returns a status; none unwinds. What is unsafe is the boundary itself: pointers whose validity the header asks of the
//! caller, so each block says which sentence of the header it relies on.
#![no_std]

use core::mem::{MaybeUninit, align_of, size_of};
use core::ptr;
use core::slice;

mod platform;

sofie_infer::sofie_model! {
    mod network = "../../assets/models/hls4ml_mlp_trained.onnx", dims(batch = ..=64)
}

/// `tagger_status` of the header.
#[repr(C)]
pub enum Status {
    /// All went well.
    Ok = 0,
    /// A pointer is null.
    Null = 1,
    /// Fewer bytes than [`tagger_bytes`].
    LittleMemory = 2,
    /// More jets than the network was compiled for.
    ManyJets = 3,
}

/// `tagger` of the header.
pub struct Tagger(network::Session);

/// What a session takes: itself, its arena and its inputs, each with what aligning it may cost.
const BYTES: usize = {
    let inputs = network::INPUTS[0].shape[0] * network::INPUTS[0].shape[1] * size_of::<f32>();
    size_of::<Tagger>() + network::ARENA_BYTES + inputs.next_multiple_of(64) + 4 * 64
};

/// The bytes of memory that a session takes.
#[unsafe(no_mangle)]
pub extern "C" fn tagger_bytes() -> usize {
    BYTES
}

/// Makes a session in memory of the caller's.
///
/// # Safety
/// `memory` is null or so many bytes that are used for nothing else while the session lives; `made` is null or can be
/// written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tagger_create(memory: *mut u8, bytes: usize, made: *mut *mut Tagger) -> Status {
    if memory.is_null() || made.is_null() {
        return Status::Null;
    }
    if bytes < BYTES {
        return Status::LittleMemory;
    }
    let before = memory.align_offset(align_of::<Tagger>());
    let place = memory.wrapping_add(before).cast::<MaybeUninit<Tagger>>();
    // SAFETY: `place` is aligned (made so just above) and lies inside the memory that the caller lends: `BYTES` has room
    // for a `Tagger` behind any alignment.
    let place = unsafe { &mut *place };
    let rest = memory.wrapping_add(before + size_of::<Tagger>());
    // SAFETY: what follows the `Tagger` is the caller's as well, and nothing else is made of it.
    let session =
        unsafe { platform::lend(rest, bytes - before - size_of::<Tagger>(), network::Session::new) };
    let tagger: *mut Tagger = place.write(Tagger(session));
    // SAFETY: not null (checked), and to be written to, as the header asks.
    unsafe { made.write(tagger) };
    Status::Ok
}

/// Scores `count` jets.
///
/// # Safety
/// `session` is null or came from [`tagger_create`], was not destroyed, and no other thread uses it now; `jets` is null or
/// 16 floats a jet, `scores` null or room for 3 floats a jet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tagger_infer(
    session: *mut Tagger,
    jets: *const f32,
    count: usize,
    scores: *mut f32,
) -> Status {
    if session.is_null() || jets.is_null() || scores.is_null() {
        return Status::Null;
    }
    if count > network::Dims::MOST.batch {
        return Status::ManyJets;
    }
    // SAFETY: `tagger_create` made it, and this thread alone uses it, as the header asks.
    let Tagger(network) = unsafe { &mut *session };
    // SAFETY: not null (checked), 16 floats a jet as the header asks, and an array is aligned as its elements are.
    let jets = unsafe { slice::from_raw_parts(jets.cast::<[f32; 16]>(), count) };
    let Ok(outputs) = network.infer(jets) else { return Status::ManyJets };
    let probabilities = outputs.y.as_flattened();
    // SAFETY: not null (checked), room for 3 floats a jet as the header asks; the probabilities lie in the session, which
    // the caller's floats do not overlap.
    unsafe { ptr::copy_nonoverlapping(probabilities.as_ptr(), scores, probabilities.len()) };
    Status::Ok
}

/// Ends a session.
///
/// # Safety
/// As in [`tagger_infer`]; the session is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tagger_destroy(session: *mut Tagger) {
    if !session.is_null() {
        // SAFETY: `tagger_create` made it and the caller uses it no more; its memory is the caller's and stays.
        unsafe { ptr::drop_in_place(session) };
    }
}
