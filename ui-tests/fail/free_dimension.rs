// One message, whatever is done with a session that there is not.
sofie_infer::sofie_model!("models/free.onnx");

#[derive(Clone, Debug)]
struct Tagger {
    session: free::Session,
    memory: [u8; free::ARENA_BYTES],
}

struct Scored<'s> {
    outputs: free::Outputs<'s>,
}

impl Tagger {
    fn scores(&mut self, x: &[[f32; 4]]) -> Result<Scored<'_>, Box<dyn std::error::Error>> {
        Ok(Scored { outputs: self.session.infer(x)? })
    }
}

fn main() {
    let mut tagger = Tagger { session: free::Session::with_capacity(free::Dims::MOST), memory: [] };
    println!("{tagger:?} {:?} {:?}", free::INPUTS, tagger.memory.len());
    for row in tagger.scores(&[[0.0; 4]]).unwrap().outputs.y.iter() {
        println!("{:.3}", row[0]);
    }
    let mut inputs = tagger.session.inputs();
    inputs.x[0] = [1.0; 4];
    let mut scores = [[0.0; 3]];
    tagger.session.clone().infer_many(&[[0.0; 4]], &mut scores);
}
