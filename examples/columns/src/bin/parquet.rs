//! Scores the jets of a Parquet file with a trained tagger and writes the same table with three more columns.
//!
//! `parquet JETS.parquet SCORED.parquet`: a row is a jet, the tagger's 16 inputs are `f32` columns. The file is read in
//! batches of columns; a session with a free batch takes each as it comes, the last and shorter one too.
#![forbid(unsafe_code)]

use arrow_array::{Array, Float32Array, RecordBatch, RecordBatchReader};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::error::Error;
use std::fs::File;
use std::sync::Arc;

// 64 jets at once: the work on each is shared, and what is computed stays in the first-level cache.
sofie_infer::sofie_model! {
    mod tagger = "../../assets/models/hls4ml_mlp_trained.onnx", dims(batch = ..=64)
}

/// The columns that the network was trained on, in its order.
const INPUTS: [&str; 16] = [
    "multiplicity",
    "girth_half",
    "girth",
    "girth_2",
    "girth_3",
    "c1_half",
    "c1",
    "c1_2",
    "c2",
    "d2",
    "minor",
    "major",
    "roundness",
    "leading",
    "leading_3",
    "dispersion",
];
const SCORES: [&str; 3] = ["one_prong", "two_prongs", "three_prongs"];

/// A column of a batch, without gaps.
fn column<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b [f32], String> {
    let column = batch.column_by_name(name).ok_or(format!("there is no column `{name}`"))?;
    let floats = column.as_any().downcast_ref::<Float32Array>();
    let floats = floats.ok_or(format!("column `{name}` is {}, not Float32", column.data_type()))?;
    if floats.null_count() > 0 {
        return Err(format!("column `{name}` has {} nulls", floats.null_count()));
    }
    Ok(floats.values())
}

fn main() -> Result<(), Box<dyn Error>> {
    let [_, jets, out] = &std::env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: parquet JETS.parquet SCORED.parquet".into());
    };
    let most = tagger::Dims::MOST.batch;
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(jets)?)?.with_batch_size(most).build()?;
    let new = SCORES.map(|name| Arc::new(Field::new(name, DataType::Float32, false)));
    let fields = reader.schema().fields().iter().cloned().chain(new).collect::<Vec<_>>();
    let schema = Arc::new(Schema::new(fields));
    let mut writer = ArrowWriter::try_new(File::create(out)?, schema.clone(), None)?;

    let mut session = tagger::Session::new();
    let mut scored = 0;
    for batch in reader {
        let batch = batch?;
        // Columns become the rows of the session's own input: nothing is copied twice, nothing allocated.
        let inputs = session.inputs(tagger::Dims { batch: batch.num_rows() })?;
        for (i, name) in INPUTS.iter().enumerate() {
            for (jet, &value) in inputs.x.iter_mut().zip(column(&batch, name)?) {
                jet[i] = value;
            }
        }
        let scores = inputs.run()?.y;

        let mut columns = batch.columns().to_vec();
        for class in 0..SCORES.len() {
            columns.push(Arc::new(Float32Array::from_iter_values(scores.iter().map(|jet| jet[class]))));
        }
        writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
        scored += scores.len();
    }
    writer.close()?;
    println!("scored {scored} jets");
    Ok(())
}
