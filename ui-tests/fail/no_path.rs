sofie_infer::sofie_model!(models::dense);

fn main() {}
