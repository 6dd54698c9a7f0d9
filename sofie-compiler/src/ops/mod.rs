//! ONNX operators → core operations: one file a family, and the table below that lists them all.
//!
//! A lowering takes a [`Ctx`] (the node's operands, attributes and version, and the graph that is being
//! built) and gives the values of the node's outputs. Shapes are inferred and constants folded as the
//! graph grows, so a lowering sees the ranks, the extents and the constant operands it needs. To add an
//! operator, write its function in the file of its family and add its line to [`OPERATORS`].
//!
//! Versions: a file says which opset of `ai.onnx` it imports; a lowering asks [`Ctx::version`] where the
//! meaning changed. Opsets 7 to 28 are covered, older ones where the operator differs only in attributes.

mod ctx;
mod declared;
mod driver;
mod expr;
mod find;
mod found;
mod operand;
mod symbolic;
#[cfg(test)]
mod testing;

mod activation;
mod attention;
mod binary;
mod cast;
mod concat;
mod constant;
mod contrib;
mod control;
mod conv;
mod custom;
mod einsum;
mod gather;
mod gemm;
mod hints;
mod loss;
mod matmul;
mod meetings;
mod misc;
mod ml;
mod norm;
mod one_hot;
mod pad;
mod pool;
mod quantize;
mod recurrent;
mod reduce;
mod resample;
mod reshape;
mod resize;
mod resize_computed;
mod resize_taps;
mod runtime;
mod sample;
mod select;
mod sequence;
mod signal;
mod slice;
mod softmax;
mod solve;
mod state_space;
mod stored;
mod svm;
mod top_k;
mod training;
mod transpose;
mod trees;
mod unary;
mod window;

pub use control::Control;
pub use ctx::Ctx;
pub use custom::{Extent, Rule, UserOperator};
pub use declared::{DimBounds, DimValues, free_symbols, open_symbols, paste};
pub use driver::{Given, input_shapes, lower, lower_given, lower_within};
pub use operand::Operand;
pub use stored::bytes;

use crate::error::Result;
use crate::ir::{ReduceKind, RowKind, ValueId};
use sofie_infer_runtime::map::{Binary, Unary};

/// How the nodes of one operator are lowered.
#[derive(Clone, Copy, Debug)]
pub enum Lowering {
    /// To the values of the outputs, in order.
    Values(fn(&mut Ctx<'_, '_>) -> Result<Vec<ValueId>>),
    /// In place, its graphs with it.
    Control(Control),
    /// To operands that need not be values of the graph.
    Operands(fn(&mut Ctx<'_, '_>) -> Result<Vec<Operand>>),
}

/// An operator and the opset versions that know it.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    /// The domain; "" is `ai.onnx`.
    pub domain: &'static str,
    /// The operator's name.
    pub name: &'static str,
    /// The first version of the domain that has it.
    pub since: i64,
    /// The last version of the domain that has it.
    pub until: i64,
    /// Its lowering.
    pub lower: Lowering,
    /// What is asked of a model beyond the specification; for the documentation.
    pub limit: &'static str,
}

impl Operator {
    /// The operator of that name in that version of its domain.
    pub fn find(domain: &str, name: &str, version: i64) -> Option<&'static Operator> {
        let known = |o: &&Operator| o.domain == domain && o.name == name;
        OPERATORS.iter().filter(known).find(|o| (o.since..=o.until).contains(&version))
    }

    const fn of(self, domain: &'static str) -> Operator {
        Operator { domain, ..self }
    }

    const fn until(self, until: i64) -> Operator {
        Operator { until, ..self }
    }

    const fn limit(self, limit: &'static str) -> Operator {
        Operator { limit, ..self }
    }
}

/// An operator of `ai.onnx`.
const fn op(name: &'static str, since: i64, lower: fn(&mut Ctx<'_, '_>) -> Result<Vec<ValueId>>) -> Operator {
    Operator { domain: "", name, since, until: i64::MAX, lower: Lowering::Values(lower), limit: "" }
}

/// An operator of `ai.onnx.ml`.
const fn ml(name: &'static str, lower: fn(&mut Ctx<'_, '_>) -> Result<Vec<ValueId>>) -> Operator {
    Operator {
        domain: "ai.onnx.ml",
        name,
        since: 1,
        until: i64::MAX,
        lower: Lowering::Values(lower),
        limit: "",
    }
}

/// An operator of `com.microsoft`.
const fn ms(name: &'static str, lower: fn(&mut Ctx<'_, '_>) -> Result<Vec<ValueId>>) -> Operator {
    Operator {
        domain: "com.microsoft",
        name,
        since: 1,
        until: i64::MAX,
        lower: Lowering::Values(lower),
        limit: "",
    }
}

/// An operator of `ai.onnx` that gives operands which need not be values.
const fn operands(
    name: &'static str,
    since: i64,
    lower: fn(&mut Ctx<'_, '_>) -> Result<Vec<Operand>>,
) -> Operator {
    Operator { domain: "", name, since, until: i64::MAX, lower: Lowering::Operands(lower), limit: "" }
}

/// An operator with graphs of its own.
const fn control(name: &'static str, since: i64, control: Control) -> Operator {
    Operator { domain: "", name, since, until: i64::MAX, lower: Lowering::Control(control), limit: "" }
}

// What the table below asks of a model.
const WINDOW: &str = "up to three spatial axes";
const CONTROL: &str =
    "fixed extents, unless how often a body runs is known while compiling; rows need a bound";
const SEQUENCE: &str = "of a length that is known while compiling";
const COUNTED: &str = "as many elements as the run finds; networks go on behind it";
const NUMBERS: &str = "of numbers, not strings";

/// Every operator that is known.
#[rustfmt::skip]
pub static OPERATORS: &[Operator] = &[
    // One scalar operation.
    op("Abs", 1, |c| unary::unary(c, Unary::Abs)),
    op("Acos", 7, |c| unary::unary(c, Unary::Acos)),
    op("Acosh", 9, |c| unary::unary(c, Unary::Acosh)),
    op("Asin", 7, |c| unary::unary(c, Unary::Asin)),
    op("Asinh", 9, |c| unary::unary(c, Unary::Asinh)),
    op("Atan", 7, |c| unary::unary(c, Unary::Atan)),
    op("Atanh", 9, |c| unary::unary(c, Unary::Atanh)),
    op("BitwiseNot", 18, |c| unary::unary(c, Unary::BitNot)),
    op("Ceil", 1, |c| unary::unary(c, Unary::Ceil)),
    op("Cos", 7, |c| unary::unary(c, Unary::Cos)),
    op("Cosh", 9, |c| unary::unary(c, Unary::Cosh)),
    op("Erf", 9, unary::erf),
    op("Exp", 1, |c| unary::unary(c, Unary::Exp)),
    op("Floor", 1, |c| unary::unary(c, Unary::Floor)),
    op("IsInf", 10, unary::is_inf),
    op("IsNaN", 9, |c| unary::unary(c, Unary::IsNan)),
    op("Log", 1, |c| unary::unary(c, Unary::Log)),
    op("Neg", 1, |c| unary::unary(c, Unary::Neg)),
    op("Not", 1, |c| unary::unary(c, Unary::Not)),
    op("Reciprocal", 1, |c| unary::unary(c, Unary::Reciprocal)),
    op("Relu", 1, |c| unary::unary(c, Unary::Relu)),
    op("Round", 11, |c| unary::unary(c, Unary::Round)),
    op("Sigmoid", 1, |c| unary::unary(c, Unary::Sigmoid)),
    op("Sign", 9, |c| unary::unary(c, Unary::Sign)),
    op("Sin", 7, |c| unary::unary(c, Unary::Sin)),
    op("Sinh", 9, |c| unary::unary(c, Unary::Sinh)),
    op("Softplus", 1, |c| unary::unary(c, Unary::Softplus)),
    op("Sqrt", 1, |c| unary::unary(c, Unary::Sqrt)),
    op("Tan", 7, |c| unary::unary(c, Unary::Tan)),
    op("Tanh", 1, |c| unary::unary(c, Unary::Tanh)),
    // Arithmetic, comparison and logic of operands that broadcast.
    op("Add", 1, |c| binary::binary(c, Binary::Add)),
    op("And", 1, |c| binary::binary(c, Binary::And)),
    op("BitShift", 11, binary::bit_shift),
    op("BitwiseAnd", 18, |c| binary::binary(c, Binary::And)),
    op("BitwiseOr", 18, |c| binary::binary(c, Binary::Or)),
    op("BitwiseXor", 18, |c| binary::binary(c, Binary::Xor)),
    op("Div", 1, |c| binary::binary(c, Binary::Div)),
    op("Equal", 1, |c| binary::binary(c, Binary::Eq)),
    op("Greater", 1, |c| binary::binary(c, Binary::Gt)),
    op("GreaterOrEqual", 12, |c| binary::binary(c, Binary::Ge)),
    op("Less", 1, |c| binary::binary(c, Binary::Lt)),
    op("LessOrEqual", 12, |c| binary::binary(c, Binary::Le)),
    op("Max", 1, |c| binary::variadic(c, Binary::Max)),
    op("Mean", 1, binary::mean),
    op("Min", 1, |c| binary::variadic(c, Binary::Min)),
    op("Mod", 10, binary::modulo),
    op("Mul", 1, |c| binary::binary(c, Binary::Mul)),
    op("Or", 1, |c| binary::binary(c, Binary::Or)),
    op("Pow", 1, binary::pow),
    op("Sub", 1, |c| binary::binary(c, Binary::Sub)),
    op("Sum", 1, |c| binary::variadic(c, Binary::Add)),
    op("Where", 9, binary::choose),
    op("Xor", 1, |c| binary::binary(c, Binary::Xor)),
    // Activations.
    op("Celu", 12, activation::celu),
    op("Clip", 1, activation::clip),
    op("Elu", 1, activation::elu),
    op("Gelu", 20, activation::gelu),
    op("HardSigmoid", 1, activation::hard_sigmoid),
    op("HardSwish", 14, activation::hard_swish),
    op("LeakyRelu", 1, activation::leaky_relu),
    op("Mish", 18, activation::mish),
    op("PRelu", 1, activation::prelu),
    op("Selu", 1, activation::selu),
    op("Shrink", 9, activation::shrink),
    op("Softsign", 1, activation::softsign),
    op("SwiGLU", 28, activation::swiglu),
    op("Swish", 24, activation::swish),
    op("ThresholdedRelu", 10, activation::thresholded_relu),
    // Element types.
    op("BitCast", 26, cast::bit_cast),
    operands("Cast", 1, cast::cast),
    operands("CastLike", 15, cast::cast_like),
    // Numbers as small integers.
    op("ConvInteger", 10, quantize::conv_integer).limit(WINDOW),
    operands("DequantizeLinear", 10, quantize::dequantize),
    op("DynamicQuantizeLinear", 11, quantize::dynamic_quantize),
    op("MatMulInteger", 10, quantize::matmul_integer),
    op("QLinearConv", 10, quantize::qlinear_conv).limit(WINDOW),
    op("QLinearMatMul", 10, quantize::qlinear_matmul),
    operands("QuantizeLinear", 10, quantize::quantize),
    // Products.
    op("Det", 11, misc::det),
    op("Einsum", 12, einsum::einsum),
    op("Gemm", 1, gemm::gemm),
    op("MatMul", 1, matmul::matmul),
    // Windows.
    op("AveragePool", 1, pool::average).limit(WINDOW),
    op("Conv", 1, conv::conv).limit(WINDOW),
    op("ConvTranspose", 1, conv::conv_transpose).limit(WINDOW),
    op("GlobalAveragePool", 1, |c| pool::global(c, ReduceKind::Mean)),
    op("GlobalLpPool", 1, pool::global_lp),
    op("GlobalMaxPool", 1, |c| pool::global(c, ReduceKind::Max)),
    op("LpPool", 1, pool::lp).limit(WINDOW),
    op("LRN", 1, pool::local_response),
    op("MaxPool", 1, pool::max).limit(WINDOW),
    op("MaxUnpool", 9, pool::max_unpool),
    // Images at places, and spectra.
    op("AffineGrid", 20, sample::affine_grid),
    op("BlackmanWindow", 17, |c| signal::window(c, [0.42, 0.5, 0.08])),
    op("Col2Im", 18, sample::col2im),
    op("DFT", 17, signal::dft),
    op("DeformConv", 19, sample::deform_conv),
    op("GridSample", 16, sample::grid_sample),
    op("HammingWindow", 17, |c| signal::window(c, [25.0 / 46.0, 21.0 / 46.0, 0.0])),
    op("HannWindow", 17, |c| signal::window(c, [0.5, 0.5, 0.0])),
    op("MaxRoiPool", 1, sample::max_roi_pool),
    op("MelWeightMatrix", 17, signal::mel_weights),
    op("RoiAlign", 10, sample::roi_align),
    op("STFT", 17, signal::stft),
    // Attention, and layers with a state.
    op("Attention", 23, attention::attention),
    op("CausalConvWithState", 27, state_space::causal_conv),
    op("LinearAttention", 27, state_space::linear_attention),
    op("RotaryEmbedding", 23, attention::rotary),
    op("TensorScatter", 24, attention::tensor_scatter),
    // With graphs of their own.
    control("If", 1, Control::If).limit(CONTROL),
    control("Loop", 1, Control::Loop).limit(CONTROL),
    control("Scan", 8, Control::Scan).limit(CONTROL),
    control("SequenceMap", 17, Control::SequenceMap).limit(SEQUENCE),
    control("FlexAttention", 1, Control::FlexAttention).of("ai.onnx.preview"),
    // Losses.
    op("NegativeLogLikelihoodLoss", 12, loss::negative_log_likelihood),
    op("SoftmaxCrossEntropyLoss", 12, loss::softmax_cross_entropy),
    // Normalisations and rows.
    op("BatchNormalization", 1, norm::batch_norm),
    op("GroupNormalization", 18, norm::group_norm),
    op("Hardmax", 1, softmax::hardmax),
    op("InstanceNormalization", 1, norm::instance_norm),
    // ONNX Runtime writes it at any opset.
    op("LayerNormalization", 1, norm::layer_norm),
    op("LogSoftmax", 1, |c| softmax::softmax(c, RowKind::LogSoftmax)),
    op("LpNormalization", 1, norm::lp_norm),
    op("MeanVarianceNormalization", 9, norm::mean_variance_norm),
    op("RMSNormalization", 23, norm::rms_norm),
    op("SimplifiedLayerNormalization", 1, contrib::norm::simplified),
    op("Softmax", 1, |c| softmax::softmax(c, RowKind::Softmax)),
    // Recurrent layers.
    op("GRU", 1, |c| recurrent::recurrent(c, recurrent::Kind::Gru)),
    op("LSTM", 1, |c| recurrent::recurrent(c, recurrent::Kind::Lstm)),
    op("RNN", 1, |c| recurrent::recurrent(c, recurrent::Kind::Rnn)),
    // Reductions.
    op("ArgMax", 1, |c| reduce::arg_reduce(c, true)),
    op("ArgMin", 1, |c| reduce::arg_reduce(c, false)),
    op("CumProd", 26, |c| reduce::scan(c, true)),
    op("CumSum", 11, |c| reduce::scan(c, false)),
    op("ReduceL1", 1, |c| reduce::reduce(c, ReduceKind::L1)),
    op("ReduceL2", 1, |c| reduce::reduce(c, ReduceKind::L2)),
    op("ReduceLogSum", 1, |c| reduce::reduce(c, ReduceKind::LogSum)),
    op("ReduceLogSumExp", 1, |c| reduce::reduce(c, ReduceKind::LogSumExp)),
    op("ReduceMax", 1, |c| reduce::reduce(c, ReduceKind::Max)),
    op("ReduceMean", 1, |c| reduce::reduce(c, ReduceKind::Mean)),
    op("ReduceMin", 1, |c| reduce::reduce(c, ReduceKind::Min)),
    op("ReduceProd", 1, |c| reduce::reduce(c, ReduceKind::Prod)),
    op("ReduceSum", 1, |c| reduce::reduce(c, ReduceKind::Sum)),
    op("ReduceSumSquare", 1, |c| reduce::reduce(c, ReduceKind::SumSquare)),
    op("TopK", 1, top_k::top_k),
    // Shapes and the order of elements.
    op("CenterCropPad", 18, pad::center_crop_pad),
    op("Concat", 1, concat::concat),
    op("DepthToSpace", 1, transpose::depth_to_space),
    op("Dropout", 1, reshape::dropout),
    op("Expand", 8, reshape::expand),
    op("Flatten", 1, reshape::flatten),
    operands("Identity", 1, reshape::identity),
    op("Pad", 1, pad::pad),
    op("Reshape", 1, reshape::reshape),
    op("Resize", 10, resize::resize),
    op("ReverseSequence", 10, one_hot::reverse_sequence),
    op("Slice", 1, slice::slice),
    op("SpaceToDepth", 1, transpose::space_to_depth),
    op("Split", 1, slice::split),
    op("Squeeze", 1, reshape::squeeze),
    op("Tile", 1, reshape::tile),
    op("Transpose", 1, transpose::transpose),
    op("Unsqueeze", 1, reshape::unsqueeze),
    op("Upsample", 7, resize::upsample).until(9),
    op("TfIdfVectorizer", 9, misc::tf_idf).limit(NUMBERS),
    // Values from nothing.
    operands("Constant", 1, constant::constant),
    op("ConstantOfShape", 9, constant::constant_of_shape),
    op("EyeLike", 9, constant::eye_like),
    op("OneHot", 9, one_hot::one_hot),
    op("Range", 11, constant::range),
    operands("Shape", 1, constant::shape),
    operands("Size", 1, constant::size),
    op("Trilu", 14, constant::trilu),
    // Sequences and optionals.
    op("ConcatFromSequence", 11, sequence::concat).limit(SEQUENCE),
    operands("Optional", 15, sequence::optional).limit(SEQUENCE),
    operands("OptionalGetElement", 15, sequence::get_element).limit(SEQUENCE),
    operands("OptionalHasElement", 15, sequence::has_element).limit(SEQUENCE),
    operands("SequenceAt", 11, sequence::at).limit(SEQUENCE),
    operands("SequenceConstruct", 11, sequence::construct).limit(SEQUENCE),
    operands("SequenceEmpty", 11, sequence::empty).limit(SEQUENCE),
    operands("SequenceErase", 11, sequence::erase).limit(SEQUENCE),
    operands("SequenceInsert", 11, sequence::insert).limit(SEQUENCE),
    operands("SequenceLength", 11, sequence::length).limit(SEQUENCE),
    operands("SplitToSequence", 11, sequence::split).limit(SEQUENCE),
    // Indexed reads and writes.
    op("Gather", 1, gather::gather),
    op("GatherElements", 11, gather::gather_elements),
    op("GatherND", 11, gather::gather_nd),
    op("Scatter", 9, gather::scatter_elements).until(10),
    op("ScatterElements", 11, gather::scatter_elements),
    op("ScatterND", 11, gather::scatter_nd),
    // Elements by their values.
    op("Compress", 9, select::compress).limit(COUNTED),
    op("NonMaxSuppression", 10, select::suppression).limit(COUNTED),
    op("NonZero", 9, select::non_zero).limit(COUNTED),
    op("Unique", 11, select::unique).limit(COUNTED),
    // A step of an optimiser.
    op("Adagrad", 1, training::adagrad).of("ai.onnx.preview.training"),
    op("Adam", 1, training::adam).of("ai.onnx.preview.training"),
    op("Momentum", 1, training::momentum).of("ai.onnx.preview.training"),
    // Models of tables.
    ml("ArrayFeatureExtractor", ml::array_features),
    ml("Binarizer", ml::binarizer),
    ml("FeatureVectorizer", ml::feature_vectorizer),
    ml("Imputer", ml::imputer),
    ml("LabelEncoder", ml::label_encoder).limit(NUMBERS),
    ml("LinearClassifier", ml::linear_classifier),
    ml("LinearRegressor", ml::linear_regressor),
    ml("Normalizer", ml::normalizer),
    ml("OneHotEncoder", ml::one_hot_encoder).limit(NUMBERS),
    ml("Scaler", ml::scaler),
    ml("SVMClassifier", svm::classifier),
    ml("SVMRegressor", svm::regressor),
    ml("TreeEnsemble", trees::ensemble),
    ml("TreeEnsembleClassifier", trees::classifier).limit("labels that are strings become their positions"),
    ml("TreeEnsembleRegressor", trees::regressor).limit("of one target: one weight a leaf, which may be listed several times"),
    ml("ZipMap", ml::zip_map).limit("the probabilities as a tensor"),
    // What ONNX Runtime's optimiser and quantiser write, and exporters that know it.
    ms("Attention", contrib::attention::attention),
    ms("BiasGelu", |c| contrib::activation::gelu(c, Unary::GeluErf)),
    ms("CDist", contrib::distance::cdist),
    ms("ConvTransposeWithDynamicPads", contrib::products::conv_transpose_pads).limit("of constant pads"),
    ms("CropAndResize", contrib::crop::crop_and_resize),
    operands("DequantizeLinear", 1, quantize::dequantize).of("com.microsoft"),
    ms("DynamicQuantizeLSTM", contrib::recurrent::dynamic_lstm),
    ms("DynamicQuantizeMatMul", contrib::quantized::dynamic_matmul),
    ms("EmbedLayerNormalization", contrib::norm::embed),
    ms("ExpandDims", contrib::moving::expand_dims),
    ms("FastGelu", |c| contrib::activation::gelu(c, Unary::GeluTanh)),
    ms("FusedConv", contrib::products::fused_conv).limit(WINDOW),
    ms("FusedGemm", contrib::products::fused_gemm),
    ms("FusedMatMul", contrib::products::fused_matmul),
    ms("Gelu", |c| contrib::activation::gelu(c, Unary::GeluErf)),
    ms("GridSample", sample::grid_sample),
    ms("GroupQueryAttention", contrib::group_query),
    ms("Inverse", misc::inverse),
    ms("MatMulInteger16", quantize::matmul_integer),
    ms("MatMulIntegerToFloat", contrib::quantized::matmul_integer_to_float),
    ms("MatMulNBits", contrib::packed::matmul_nbits),
    ms("MultiHeadAttention", contrib::attention::multi_head),
    ms("NhwcMaxPool", contrib::qlinear::nhwc_max_pool),
    ms("Pad", |c| pad::pad_of(c, 13)),
    ms("QAttention", contrib::attention::quantized_attention),
    ms("QGemm", contrib::quantized::qgemm),
    ms("QLinearAdd", |c| contrib::qlinear::binary(c, Binary::Add)),
    ms("QLinearAveragePool", contrib::qlinear::average_pool).limit(WINDOW),
    ms("QLinearConcat", contrib::qlinear::concat),
    ms("QLinearConv", contrib::qlinear::conv),
    ms("QLinearGlobalAveragePool", contrib::qlinear::global_average_pool),
    ms("QLinearLeakyRelu", contrib::qlinear::leaky_relu),
    ms("QLinearMul", |c| contrib::qlinear::binary(c, Binary::Mul)),
    ms("QLinearSigmoid", contrib::qlinear::sigmoid),
    ms("QLinearSoftmax", contrib::qlinear::quantised_softmax),
    ms("QLinearWhere", contrib::qlinear::choose),
    operands("QuantizeLinear", 1, quantize::quantize).of("com.microsoft"),
    ms("QuickGelu", contrib::activation::quick_gelu),
    ms("RotaryEmbedding", contrib::rotary::rotary),
    ms("SkipLayerNormalization", contrib::norm::skip),
    ms("SkipSimplifiedLayerNormalization", contrib::norm::skip_simplified),
    ms("Trilu", constant::trilu),
    ms("TransposeMatMul", contrib::products::fused_matmul),
    ms("UnfoldTensor", contrib::moving::unfold),
];
