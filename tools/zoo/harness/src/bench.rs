//! `bench KEY=VALUE...`: times the model and its peers on one case, in turns within one process.
//!
//! Machines are noisy and drift, so engines alternate in short blocks; of each block the median call counts, of the
//! blocks the best. A sample spans as many calls as take some ten microseconds, since reading the clock takes about
//! 30 ns, which is a tenth of the smallest model.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use sofie_infer_runtime::DynSession;

use crate::peers::{Buffers, Peer, openvino::OpenVino, ort::Ort};
use crate::{Built, Infer, Inputs, Sizes, Timing, inputs};

/// What the tool asks for.
struct Options {
    model: PathBuf,
    case: PathBuf,
    ort: Option<PathBuf>,
    openvino: Option<PathBuf>,
    threads: usize,
    rounds: usize,
    block: Duration,
    dims: Vec<(String, i64)>,
}

pub fn run<S: DynSession>(
    sizes: Sizes,
    new: fn() -> S,
    infer: Infer<S>,
    args: &[String],
) -> Result<(), String> {
    let options = parse(args)?;
    let start = Instant::now();
    let mut session = new();
    println!("{}", Built { sizes, new_us: start.elapsed().as_secs_f64() * 1e6 });
    let arrays = inputs::read(session.input_info(), &options.case)?;
    let shapes: Vec<&[usize]> = arrays.iter().map(|array| &array.shape[..]).collect();
    session.fit(&shapes).map_err(|e| format!("the case does not fit the model: {e}"))?;
    crate::fill(&mut session, &arrays);
    let typed = Inputs::new(&arrays)?;
    let mut peers = peers(&options, || Buffers::new(&session, &arrays));
    infer(&mut session, &typed, &mut |ours| {
        let mut engines = vec![Engine::new("ours", || {
            ours();
            Ok(())
        })];
        for (name, peer) in &mut peers {
            match peer {
                Ok(peer) => engines.push(Engine::new(name, || peer.infer())),
                Err(why) => println!("{}", Timing { engine: (*name).to_owned(), us: Err(why.clone()) }),
            }
        }
        for timing in race(engines, &options) {
            println!("{timing}");
        }
    });
    Ok(())
}

/// Lets the engines run in turns.
fn race(mut engines: Vec<Engine>, options: &Options) -> Vec<Timing> {
    for engine in &mut engines {
        engine.calibrate(options.block);
    }
    for _ in 0..options.rounds {
        for engine in &mut engines {
            engine.block();
        }
    }
    engines.into_iter().map(|e| Timing { engine: e.name.to_owned(), us: e.result }).collect()
}

type NamedPeer = (&'static str, Result<Box<dyn Peer>, String>);

/// Every peer that was asked for, ready to run or with the reason why it cannot.
fn peers(options: &Options, buffers: impl Fn() -> Buffers) -> Vec<NamedPeer> {
    let mut peers: Vec<NamedPeer> = Vec::new();
    if let Some(library) = &options.ort {
        let ort = Ort::new(library, &options.model, &options.dims, options.threads, buffers());
        peers.push(("ort", ort.map(|p| Box::new(p) as _)));
    }
    if let Some(library) = &options.openvino {
        // Symbolic axes may suit it better than fixed ones: the faster of the two counts.
        let variants = [("openvino", true), ("openvino-dynamic", false)];
        for (name, fixed) in variants.into_iter().take(if options.dims.is_empty() { 1 } else { 2 }) {
            let peer = OpenVino::new(library, &options.model, fixed, options.threads, buffers());
            peers.push((name, peer.map(|p| Box::new(p) as _)));
        }
    }
    peers
}

fn parse(args: &[String]) -> Result<Options, String> {
    let mut o = Options {
        model: PathBuf::new(),
        case: PathBuf::new(),
        ort: None,
        openvino: None,
        threads: 1,
        rounds: 15,
        block: Duration::from_millis(20),
        dims: Vec::new(),
    };
    for arg in args {
        let bad = || format!("`{arg}` is no option of bench");
        let (key, value) = arg.split_once('=').ok_or_else(bad)?;
        let number = || value.parse::<u32>().map_err(|_| bad());
        match key {
            "model" => o.model = value.into(),
            "case" => o.case = value.into(),
            "ort" => o.ort = Some(Path::new(value).into()),
            "openvino" => o.openvino = Some(Path::new(value).into()),
            "threads" => o.threads = number()? as usize,
            "rounds" => o.rounds = number()?.max(1) as usize,
            "block-ms" => o.block = Duration::from_millis(number()?.into()),
            "dim" => {
                let (extent, name) = value.split_once(' ').ok_or_else(bad)?;
                o.dims.push((name.to_owned(), extent.parse().map_err(|_| bad())?));
            }
            _ => return Err(bad()),
        }
    }
    Ok(o)
}

/// One contender and its best block so far.
struct Engine<'a> {
    name: &'static str,
    infer: Box<dyn FnMut() -> Result<(), String> + 'a>,
    /// Calls a sample, samples a block.
    calls: usize,
    samples: usize,
    /// Wall and thread CPU microseconds a call, or what a call said.
    result: Result<(f64, f64), String>,
    times: Vec<f64>,
}

impl<'a> Engine<'a> {
    fn new(name: &'static str, infer: impl FnMut() -> Result<(), String> + 'a) -> Self {
        let result = Ok((f64::INFINITY, f64::INFINITY));
        Engine { name, infer: Box::new(infer), calls: 1, samples: 1, result, times: Vec::new() }
    }

    /// Warms up for a block's time and chooses how many calls fill a block.
    fn calibrate(&mut self, block: Duration) {
        let start = Instant::now();
        let mut calls = 0u32;
        while calls < 3 || start.elapsed() < block {
            if let Err(e) = (self.infer)() {
                self.result = Err(e);
                return;
            }
            calls += 1;
        }
        let call = start.elapsed() / calls;
        self.calls = (10_000 / call.as_nanos().max(1)).max(1) as usize;
        self.samples =
            (block.as_nanos() / (call.as_nanos().max(1) * self.calls as u128)).clamp(3, 5_000) as usize;
        self.times.reserve(self.samples);
    }

    fn block(&mut self) {
        let Ok((best_wall, best_cpu)) = self.result else { return };
        self.times.clear();
        let cpu = ThreadTime::now();
        for _ in 0..self.samples {
            let start = Instant::now();
            for _ in 0..self.calls {
                if let Err(e) = (self.infer)() {
                    self.result = Err(e);
                    return;
                }
            }
            self.times.push(start.elapsed().as_secs_f64() * 1e6 / self.calls as f64);
        }
        let cpu = cpu.elapsed().as_secs_f64() * 1e6 / (self.samples * self.calls) as f64;
        self.times.sort_by(f64::total_cmp);
        let median = self.times[self.times.len() / 2];
        self.result = Ok((best_wall.min(median), best_cpu.min(cpu)));
    }
}
