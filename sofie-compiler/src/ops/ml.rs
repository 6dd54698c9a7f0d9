//! The other operators of `ai.onnx.ml` over numbers: linear models and what stands before and behind them.

use super::Ctx;
use super::expr::{Expr, num, x, y};
use super::trees::{above, best, labelled, labels, rows, transformed};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ReduceKind, Shape, Tensor, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Scalar, Unary};

/// A list of `f32`s as a constant.
fn list(c: &mut Ctx<'_, '_>, values: &[f32]) -> ValueId {
    c.b.tensor(Tensor::of(&[values.len()], values))
}

/// Operand 0 as `f32` rows.
fn features(c: &mut Ctx<'_, '_>) -> Result<ValueId> {
    let v = c.required(0, "X")?;
    let v = c.b.cast(v, DType::F32)?;
    rows(c, v)
}

/// `x · coefficientsᵀ + intercepts`, `targets` of them.
fn linear(c: &mut Ctx<'_, '_>, v: ValueId, targets: usize) -> Result<ValueId> {
    let coefficients = c.attrs.floats("coefficients")?;
    let coefficients = c.attrs.require("coefficients", coefficients)?;
    let intercepts = c.attrs.floats("intercepts")?.unwrap_or_default();
    let shape = c.shape(v);
    let n = coefficients.len().checked_div(targets).filter(|n| n * targets == coefficients.len());
    let n = n.filter(|&n| shape.rank() == 2 && shape[1].is(n as i64));
    let n =
        n.ok_or_else(|| Error::new(format!("{} coefficients for {targets} of {shape}", coefficients.len())))?;
    let w = c.b.tensor(Tensor::of(&[targets, n], coefficients));
    let w = c.b.transpose(w, &[1, 0])?;
    let y = c.matmul(v, w)?;
    if intercepts.is_empty() {
        return Ok(y);
    }
    if intercepts.len() != targets {
        return Err(Error::new(format!("{} intercepts for {targets} targets", intercepts.len())));
    }
    let b = list(c, intercepts);
    c.map(x() + self::y(), &[y, b])
}

/// `LinearRegressor`.
pub(super) fn linear_regressor(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = features(c)?;
    let targets = c.attrs.int_or("targets", 1)?;
    let targets = usize::try_from(targets).map_err(|_| Error::new(format!("targets is {targets}")))?;
    let transform = c.attrs.string_or("post_transform", "NONE")?;
    let y = linear(c, v, targets)?;
    Ok(vec![transformed(c, y, transform)?])
}

/// `LinearClassifier`. One score for two classes is that of the second.
pub(super) fn linear_classifier(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = features(c)?;
    // How the model was trained; the scores say it all.
    c.attrs.ignore(&["multi_class"]);
    let (classes, names) = labels(c, "classlabels_ints")?;
    let transform = c.attrs.string_or("post_transform", "NONE")?;
    let coefficients = c.attrs.floats("coefficients")?.map_or(0, <[f32]>::len);
    let of_one = |n: &i64| *n > 0 && coefficients as i64 == *n;
    let targets = match c.attrs.floats("intercepts")? {
        Some(intercepts) => intercepts.len(),
        // One score for two classes has as many coefficients as there are features.
        None if c.shape(v).dims().last().and_then(Dim::fixed).as_ref().is_some_and(of_one) => 1,
        None => classes,
    };
    let scores = linear(c, v, targets)?;
    if targets == 1 && classes == 2 {
        let index = c.map(x().gt(num(0.0)).cast(DType::I64), &[scores])?;
        let index = c.drop_axes(index, &[1])?;
        let (first, second) = match transform {
            "LOGISTIC" => ((-x()).unary(Unary::Sigmoid), x().unary(Unary::Sigmoid)),
            _ => (num(1.0) - x(), x()),
        };
        let (first, second) = (c.map(first, &[scores])?, c.map(second, &[scores])?);
        let both = c.b.one(Op::Concat(1), &[first, second])?;
        return Ok(vec![labelled(c, index, names)?, both]);
    }
    if targets != classes {
        return Err(Error::new(format!("{targets} scores for {classes} classes")));
    }
    let index = best(c, scores)?;
    // Unlike trees', a linear model's score of 0 is a score.
    let transform = if transform == "SOFTMAX_ZERO" { "SOFTMAX" } else { transform };
    Ok(vec![labelled(c, index, names)?, transformed(c, scores, transform)?])
}

/// `Scaler`: `(x - offset) * scale`, one for all features or each.
pub(super) fn scaler(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let v = c.b.cast(v, DType::F32)?;
    let (offset, scale) = (c.attrs.floats("offset")?, c.attrs.floats("scale")?);
    let mut y = v;
    for (values, e) in [(offset, x() - self::y()), (scale, x() * self::y())] {
        let Some(values) = values.filter(|v| !v.is_empty()) else { continue };
        let n = list(c, values);
        y = c.map(e, &[y, n])?;
    }
    if c.shape(y) != c.shape(v) {
        return Err(Error::new(format!("offset or scale do not fit X {}", c.shape(v))));
    }
    Ok(vec![y])
}

/// `Normalizer`: rows by their largest element, their sum or their length; a row of norm 0 stays as it is.
pub(super) fn normalizer(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let v = c.b.cast(v, DType::F32)?;
    let kind = match c.attrs.string_or("norm", "MAX")? {
        "MAX" => ReduceKind::Max,
        "L1" => ReduceKind::L1,
        "L2" => ReduceKind::L2,
        other => return Err(Error::new(format!("norm {other:?} is not known"))),
    };
    let Some(axis) = c.rank(v).checked_sub(1) else { return Err(Error::new("X is a scalar")) };
    let norm = c.b.one(Op::Reduce(kind, vec![axis]), &[v])?;
    Ok(vec![c.map(y().eq(num(0.0)).select(x(), x() / y()), &[v, norm])?])
}

/// `Binarizer`.
pub(super) fn binarizer(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let threshold = c.attrs.float_or("threshold", 0.0)?;
    // Between integers there are thresholds too.
    let y = c.in_floats(v, DType::F64, |c, v| c.map(above(threshold.into()), &[v]))?;
    Ok(vec![y])
}

/// `Imputer`: another value for those that are missing.
pub(super) fn imputer(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let float = c.dtype(v).is_float();
    let (missing, values) = if float {
        let missing = c.attrs.float_or("replaced_value_float", 0.0)?;
        let values = c.attrs.floats("imputed_value_floats")?.unwrap_or_default();
        c.attrs.ignore(&["replaced_value_int64", "imputed_value_int64s"]);
        let missing = if missing.is_nan() { x().unary(Unary::IsNan) } else { x().eq(num(missing)) };
        (missing, Tensor::of(&[values.len()], values))
    } else {
        let missing = c.attrs.int_or("replaced_value_int64", 0)?;
        let values = c.attrs.ints("imputed_value_int64s")?.unwrap_or_default();
        c.attrs.ignore(&["replaced_value_float", "imputed_value_floats"]);
        (x().cast(DType::I64).eq(Expr::Typed(missing.into())), Tensor::of(&[values.len()], values))
    };
    let values = c.b.tensor(values);
    let values = c.b.cast(values, c.dtype(v))?;
    let result = c.map(missing.select(y(), x()), &[v, values])?;
    if c.shape(result) != c.shape(v) {
        return Err(Error::new(format!("{} imputed values for X {}", c.shape(values), c.shape(v))));
    }
    Ok(vec![result])
}

/// `ArrayFeatureExtractor`: some elements of the last axis.
pub(super) fn array_features(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, index) = (c.required(0, "X")?, c.required(1, "Y")?);
    let v = rows(c, v)?;
    let axis = c.rank(v).checked_sub(1).ok_or_else(|| Error::new("X is a scalar"))?;
    let n = c.b.shape(index).numel()?;
    let index = c.reshape(index, &[n])?;
    Ok(vec![c.b.one(Op::Gather { axis, batch: 0 }, &[v, index])?])
}

/// `FeatureVectorizer`: features side by side.
pub(super) fn feature_vectorizer(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let widths = c.attrs.ints("inputdimensions")?;
    let mut parts = Vec::new();
    for v in c.variadic()? {
        let v = c.b.cast(v, DType::F32)?;
        parts.push(rows(c, v)?);
    }
    if let Some(widths) = widths {
        let fits =
            widths.len() == parts.len() && parts.iter().zip(widths).all(|(v, w)| c.shape(*v)[1].is(*w));
        if !fits {
            return Err(Error::new(format!("inputdimensions {widths:?} are not those of the inputs")));
        }
    }
    Ok(vec![c.b.one(Op::Concat(1), &parts)?])
}

/// The place of each element in a list of keys, counted from 1; 0 where it is none. `[shape…]`, i64.
fn place(c: &mut Ctx<'_, '_>, v: ValueId, keys: &Tensor) -> Result<ValueId> {
    let shape = c.shape(v);
    let axis = shape.rank();
    let column = [shape.dims(), &[Dim::ONE]].concat();
    let v = c.reshape(v, &column)?;
    let n = keys.len();
    let keys = c.b.tensor(keys.clone());
    let keys = c.b.cast(keys, c.dtype(v))?;
    let places: Vec<i64> = (1..=n as i64).collect();
    let places = c.b.tensor(Tensor::of(&[n], &places));
    let both_nan = |a: Expr, b: Expr| {
        a.unary(Unary::IsNan).binary(sofie_infer_runtime::map::Binary::And, b.unary(Unary::IsNan))
    };
    let mut same = x().eq(y());
    if c.dtype(v).is_float() {
        same = same.binary(sofie_infer_runtime::map::Binary::Or, both_nan(x(), y()));
    }
    let z = super::expr::z();
    let found = c.map(same.select(z, Expr::Typed(0i64.into())), &[v, keys, places])?;
    let found = c.b.one(Op::Reduce(ReduceKind::Max, vec![axis]), &[found])?;
    Ok(c.b.reshape(found, shape)?)
}

/// `LabelEncoder` from numbers to numbers.
pub(super) fn label_encoder(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let strings =
        Error::new("labels that are strings are not supported").help("number them before the network");
    let tensor = |name: &str| -> Result<Option<Tensor>> {
        c.attrs.tensor(name)?.map(super::driver::dense).transpose()
    };
    let side = |what: &str| -> Result<Option<Tensor>> {
        if let Some(values) = c.attrs.ints(&format!("{what}_int64s"))? {
            return Ok(Some(Tensor::of(&[values.len()], values)));
        }
        if let Some(values) = c.attrs.floats(&format!("{what}_floats"))? {
            return Ok(Some(Tensor::of(&[values.len()], values)));
        }
        tensor(&format!("{what}_tensor"))
    };
    let (Some(keys), Some(values)) = (side("keys")?, side("values")?) else { return Err(strings) };
    if keys.len() != values.len() {
        return Err(Error::new(format!("{} keys for {} values", keys.len(), values.len())));
    }
    let (default_float, default_int) =
        (c.attrs.float_or("default_float", -0.0)?, c.attrs.int_or("default_int64", -1)?);
    c.attrs.ignore(&["default_string"]);
    let default = match tensor("default_tensor")? {
        Some(t) if t.len() == 1 && t.dtype() == values.dtype() => t.get(0),
        _ if values.dtype().is_float() => Scalar::from_f64(values.dtype(), default_float.into()),
        _ => Scalar::from_f64(values.dtype(), default_int as f64),
    };
    let bytes = [&default.bits.to_le_bytes()[..default.dtype.size()], values.bytes()].concat();
    let table = Tensor::from_bytes(values.dtype(), vec![values.len() + 1], bytes);
    let table = c.b.tensor(table.ok_or_else(|| Error::new("values of another size"))?);
    let index = place(c, v, &keys)?;
    Ok(vec![c.b.one(Op::Gather { axis: 0, batch: 0 }, &[table, index])?])
}

/// `OneHotEncoder` of numbers: a new last axis with a 1 at the category. Unless the attribute `zeros` lets a number
/// that is no category have no 1 at all, the run fails on one.
pub(super) fn one_hot_encoder(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let Some(categories) = c.attrs.ints("cats_int64s")?.filter(|c| !c.is_empty()) else {
        return Err(Error::new("categories that are strings are not supported")
            .help("number them before the network"));
    };
    let zeros = c.attrs.flag_or("zeros", true)?;
    let shape = c.shape(v);
    let column = [shape.dims(), &[Dim::ONE]].concat();
    let v = c.b.cast(v, DType::I64)?;
    let v = c.reshape(v, &column)?;
    let categories = c.b.tensor(Tensor::of(&[categories.len()], categories));
    let hot = c.map(x().eq(y()).cast(DType::F32), &[v, categories])?;
    if !zeros {
        let axes: Vec<usize> = (0..c.rank(hot)).collect();
        let any = c.b.one(Op::Reduce(ReduceKind::Max, vec![c.rank(hot) - 1]), &[hot])?;
        let all = c.b.one(Op::Reduce(ReduceKind::Min, axes), &[any])?;
        let all = c.b.reshape(all, Shape::default())?;
        let holds = c.map(x().gt(num(0.0)), &[all])?;
        c.check(holds);
    }
    Ok(vec![hot])
}

/// `ZipMap`: the scores themselves; their labels are those of the classifier.
pub(super) fn zip_map(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    c.attrs.ignore(&["classlabels_int64s", "classlabels_strings"]);
    Ok(vec![c.required(0, "X")?])
}

#[cfg(test)]
mod tests {
    use crate::ir::{Tensor, eval};
    use crate::onnx::Attribute;
    use crate::ops::driver::lower_graph;
    use crate::ops::testing::*;

    fn run(op: &str, attrs: &[(&str, Attribute)], x: Tensor, outputs: usize) -> Vec<Tensor> {
        let mut graph = model(op, 1, attrs, &[Arg::In(x.clone())], outputs);
        graph.nodes[0].domain = "ai.onnx.ml".into();
        eval::run(&lower_graph(&graph, &Default::default()).unwrap(), &[x]).unwrap()
    }

    #[test]
    fn one_score_for_two_classes_without_an_intercept() {
        let attrs = [
            ("coefficients", Attribute::Floats(vec![1.0, -1.0])),
            ("classlabels_ints", Attribute::Ints(vec![4, 7])),
        ];
        let y = run("LinearClassifier", &attrs, Tensor::of(&[2, 2], &[3.0f32, 1.0, 0.0, 1.0]), 2);
        assert_eq!(y, [Tensor::of(&[2], &[7i64, 4]), Tensor::of(&[2, 2], &[-1.0f32, 2.0, 2.0, -1.0])]);
    }

    #[test]
    fn thresholds_between_integers() {
        let attrs = [("threshold", Attribute::Float(-0.5))];
        let y = run("Binarizer", &attrs, Tensor::of(&[1, 3], &[-1i64, 0, 1]), 1);
        assert_eq!(y, [Tensor::of(&[1, 3], &[0i64, 1, 1])]);
    }

    #[test]
    fn missing_numbers_of_every_integer() {
        let attrs =
            [("imputed_value_int64s", Attribute::Ints(vec![9])), ("replaced_value_int64", Attribute::Int(2))];
        let y = run("Imputer", &attrs, Tensor::of(&[1, 3], &[1i32, 2, 3]), 1);
        assert_eq!(y, [Tensor::of(&[1, 3], &[1i32, 9, 3])]);
    }
}
