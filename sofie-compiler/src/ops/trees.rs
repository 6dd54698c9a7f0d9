//! `ai.onnx.ml`'s tree ensembles: nodes and leaves as tables, which one kernel walks; what becomes of the scores as
//! ONNX Runtime has it, since the operators' texts leave two classes open.

use super::Ctx;
use super::expr::{Expr, num, x, y};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ReduceKind, RowKind, Shape, Tensor, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Scalar, Unary, cast};
use sofie_infer_runtime::plain::{self, Aggregate, MISSING_HOLDS, Test};
use std::collections::HashMap;

/// The tables of the kernel, before they are constants.
#[derive(Default)]
struct Table {
    roots: Vec<u32>,
    tests: Vec<u8>,
    features: Vec<u32>,
    thresholds: Vec<f64>,
    /// Where the test holds, and where not; of a leaf its entries' range.
    children: Vec<[u32; 2]>,
    targets: Vec<u32>,
    weights: Vec<f64>,
}

impl Table {
    fn push(&mut self, test: u8, feature: u32, threshold: f64, children: [u32; 2]) -> u32 {
        self.tests.push(test);
        self.features.push(feature);
        self.thresholds.push(threshold);
        self.children.push(children);
        self.tests.len() as u32 - 1
    }

    /// Checks what the kernel relies on: children that exist and come to an end, features and targets in range.
    fn check(&self, features: usize, targets: usize) -> Result<()> {
        let n = self.tests.len();
        let wrong = |what: &str| Err(Error::new(format!("the trees are damaged: {what}")));
        // 0 not seen, 1 on the way down, 2 done.
        let mut state = vec![0u8; n];
        for &root in &self.roots {
            let mut stack = vec![(root as usize, false)];
            while let Some((node, done)) = stack.pop() {
                if node >= n {
                    return wrong("a child is missing");
                }
                if done {
                    state[node] = 2;
                    continue;
                }
                match state[node] {
                    1 => return wrong("a node is below itself"),
                    2 => continue,
                    _ => state[node] = 1,
                }
                let [a, b] = self.children[node].map(|c| c as usize);
                if self.tests[node] == Test::Leaf as u8 {
                    if a > b || b > self.weights.len() {
                        return wrong("a leaf has no weights");
                    }
                    state[node] = 2;
                    continue;
                }
                if self.features[node] as usize >= features {
                    return Err(Error::new(format!(
                        "a node tests feature {}, but the input has {features}",
                        self.features[node]
                    )));
                }
                stack.push((node, true));
                stack.push((a, false));
                stack.push((b, false));
            }
        }
        match self.targets.iter().find(|&&t| t as usize >= targets) {
            Some(t) => Err(Error::new(format!("a leaf votes for {t} of {targets} targets"))),
            None => Ok(()),
        }
    }
}

/// The scores `[rows, targets]` of all rows of operand 0, in the type of the thresholds.
fn scores(
    c: &mut Ctx<'_, '_>,
    table: &Table,
    dtype: DType,
    targets: usize,
    aggregate: Aggregate,
) -> Result<ValueId> {
    let mut v = c.required(0, "X")?;
    if !c.dtype(v).is_float() {
        v = c.b.cast(v, DType::F64)?;
    }
    // A number of rows that is not known yet does not matter here.
    let shape = c.shape(v);
    let known: Shape = match shape.dims() {
        [_, n] if shape[0].fixed().is_none() => [Dim::ONE, n.clone()].into_iter().collect(),
        _ => shape.clone(),
    };
    let (rows, features) = match known.fixed().as_deref() {
        Some(&[n]) => (1, n),
        Some(&[r, n]) => (r, n),
        Some(dims) => return Err(Error::new(format!("X has shape {dims:?}; [N, F] is needed"))),
        None => {
            return Err(c.fixed(v, "an ensemble of trees").err().unwrap_or_else(|| Error::new("X is open")));
        }
    };
    table.check(features, targets)?;
    let numbers = |values: &[f64]| -> Result<Tensor> {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|x| cast(Scalar::from(*x), dtype).bits.to_le_bytes()[..dtype.size()].to_vec())
            .collect();
        Tensor::from_bytes(dtype, vec![values.len()], bytes)
            .ok_or_else(|| Error::new("a table of another size"))
    };
    let list = |values: &[u32]| Tensor::of(&[values.len()], values);
    let free: Vec<Dim> = shape.dims().first().filter(|d| d.fixed().is_none()).cloned().into_iter().collect();
    let first = free.first().cloned().unwrap_or_else(|| rows.into());
    let results = vec![(dtype, Shape::new(vec![first, targets.into()]))];
    let wide = dtype == DType::F64 || c.dtype(v) == DType::F64;
    if [dtype, c.dtype(v)].iter().all(|t| matches!(t, DType::F32 | DType::F64)) && features > 0 {
        // As the table of thresholds has them, exact in any wider type.
        let thresholds: Vec<f64> = match dtype {
            DType::F32 => table.thresholds.iter().map(|t| f64::from(*t as f32)).collect(),
            _ => table.thresholds.clone(),
        };
        let asked = plain::Asked {
            wide,
            features,
            roots: &table.roots,
            tests: &table.tests,
            feature: &table.features,
            thresholds: &thresholds,
            children: &table.children,
            targets: &table.targets,
        };
        if let Some(t) = plain::forest_tables(&asked) {
            if wide {
                v = c.b.cast(v, DType::F64)?;
            }
            // Leaf by leaf, so that each ends where the next one starts.
            let (mut starts, mut of_vote, mut weights) = (vec![0], Vec::new(), Vec::new());
            for [a, b] in t.leaves.iter().map(|l| l.map(|i| i as usize)) {
                of_vote.extend_from_slice(&table.targets[a..b]);
                weights.extend_from_slice(&table.weights[a..b]);
                starts.push(weights.len() as u32);
            }
            let lists = [&t.trees, &t.nodes, &t.words, &t.entries, &starts, &of_vote];
            let mut operands = vec![v];
            operands.extend(lists.map(|l| c.b.tensor(list(l))));
            operands.push(c.b.tensor(numbers(&weights)?));
            let kernel = plain::Forest { rows, features, targets, aggregate, missing: t.missing, wide };
            return Ok(c.plain_free(kernel, &operands, results, free)?.remove(0));
        }
    }
    let flat: Vec<u32> = table.children.iter().flatten().copied().collect();
    let tables = [
        list(&table.roots),
        Tensor::of(&[table.tests.len()], &table.tests),
        list(&table.features),
        numbers(&table.thresholds)?,
        Tensor::of(&[table.children.len(), 2], &flat),
        list(&table.targets),
        numbers(&table.weights)?,
    ];
    let mut operands = vec![v];
    operands.extend(tables.map(|t| c.b.tensor(t)));
    let kernel = plain::Trees { rows, features, targets, aggregate };
    Ok(c.plain_free(kernel, &operands, results, free)?.remove(0))
}

/// An attribute in one of its two forms: floats, or a tensor of doubles.
fn numbers(c: &Ctx<'_, '_>, name: &str) -> Result<Option<(DType, Vec<f64>)>> {
    if let Some(values) = c.attrs.floats(name)? {
        return Ok(Some((DType::F32, values.iter().map(|&v| v.into()).collect())));
    }
    match c.attrs.tensor(&format!("{name}_as_tensor"))? {
        Some(t) => {
            let t = super::driver::dense(t)?;
            Ok(Some((t.dtype(), t.to_f64s())))
        }
        None => Ok(None),
    }
}

fn ints<'n>(c: &Ctx<'n, '_>, name: &str) -> Result<&'n [i64]> {
    c.attrs.require(name, c.attrs.ints(name)?)
}

/// The votes of a leaf, `of`, in an ensemble of one target, whose leaves are numbers: a vote that a leaf repeats counts once.
///
/// What several votes of a leaf for the one target are worth, runtimes answer differently. ONNX Runtime 1.32 keeps the first,
/// whatever the aggregate function; onnx.reference adds them up (and takes their least or greatest). Exporters that list the
/// same vote again (skl2onnx with the option `decision_leaf`: once for each class) mean it once. With two targets and more, and
/// in a classifier of two classes and more, both count every vote; a leaf of `TreeEnsemble` is one vote.
fn once(leaf: (i64, i64), of: &mut Vec<usize>, weights: &[f64]) -> Result<()> {
    if of.windows(2).any(|v| weights[v[0]] != weights[v[1]]) {
        let listed: Vec<f64> = of.iter().map(|&v| weights[v]).collect();
        let (tree, node) = leaf;
        return Err(Error::new(format!(
            "leaf {node} of tree {tree} gives the one target the weights {listed:?}"
        ))
        .help("runtimes disagree: some take the first, some the sum; give each leaf one weight"));
    }
    of.truncate(1);
    Ok(())
}

/// The ensembles of versions 1 and 3, whose votes are called `class` or `target`; `single` where these are for one target.
fn old_table(c: &Ctx<'_, '_>, votes: &str, single: bool) -> Result<(Table, DType)> {
    let (trees, nodes) = (ints(c, "nodes_treeids")?, ints(c, "nodes_nodeids")?);
    let features = ints(c, "nodes_featureids")?;
    let modes = c.attrs.strings("nodes_modes")?;
    let modes = c.attrs.require("nodes_modes", modes)?;
    let (yes, no) = (ints(c, "nodes_truenodeids")?, ints(c, "nodes_falsenodeids")?);
    let values = numbers(c, "nodes_values")?;
    let (dtype, values) = c.attrs.require("nodes_values", values)?;
    let missing = c.attrs.ints("nodes_missing_value_tracks_true")?.unwrap_or_default();
    c.attrs.ignore(&["nodes_hitrates", "nodes_hitrates_as_tensor"]);
    let n = nodes.len();
    let lens = [trees.len(), features.len(), modes.len(), yes.len(), no.len(), values.len()];
    if lens.iter().any(|&m| m != n) || !(missing.is_empty() || missing.len() == n) {
        return Err(Error::new(format!("the nodes' attributes have lengths {n} and {lens:?}")));
    }
    let mut places = HashMap::new();
    for (i, key) in trees.iter().zip(nodes).enumerate() {
        if places.insert(key, i as u32).is_some() {
            return Err(Error::new(format!("node {} of tree {} is there twice", key.1, key.0)));
        }
    }
    let name = |what: &str| format!("{votes}_{what}");
    let (of_tree, of_node) = (ints(c, &name("treeids"))?, ints(c, &name("nodeids"))?);
    let ids = ints(c, &name("ids"))?;
    let weights = numbers(c, &name("weights"))?;
    let (_, weights) = c.attrs.require(&name("weights"), weights)?;
    if [of_node.len(), ids.len(), weights.len()].iter().any(|&m| m != of_tree.len()) {
        return Err(Error::new("the votes' attributes have different lengths"));
    }
    let mut by_leaf: Vec<Vec<usize>> = vec![Vec::new(); n];
    for (i, key) in of_tree.iter().zip(of_node).enumerate() {
        let place = places
            .get(&key)
            .ok_or_else(|| Error::new(format!("a vote of node {} of tree {}", key.1, key.0)))?;
        by_leaf[*place as usize].push(i);
    }
    if single {
        for (i, of) in by_leaf.iter_mut().enumerate() {
            once((trees[i], nodes[i]), of, &weights)?;
        }
    }
    let mut table = Table::default();
    for i in 0..n {
        let test = match modes[i] {
            "LEAF" => {
                let start = table.weights.len() as u32;
                for &vote in &by_leaf[i] {
                    let id = u32::try_from(ids[vote])
                        .map_err(|_| Error::new(format!("a vote for {}", ids[vote])))?;
                    table.targets.push(id);
                    table.weights.push(weights[vote]);
                }
                table.push(Test::Leaf as u8, 0, 0.0, [start, table.weights.len() as u32]);
                continue;
            }
            "BRANCH_LEQ" => Test::Le,
            "BRANCH_LT" => Test::Lt,
            "BRANCH_GTE" => Test::Ge,
            "BRANCH_GT" => Test::Gt,
            "BRANCH_EQ" => Test::Eq,
            "BRANCH_NEQ" => Test::Ne,
            other => return Err(Error::new(format!("a node of mode {other:?}"))),
        };
        let child = |id: i64| {
            let place = places.get(&(&trees[i], &id));
            place.copied().ok_or_else(|| Error::new(format!("node {id} of tree {} is missing", trees[i])))
        };
        let feature =
            u32::try_from(features[i]).map_err(|_| Error::new(format!("feature {}", features[i])))?;
        let tracks = missing.get(i).is_some_and(|&m| m != 0);
        let test = test as u8 | if tracks { MISSING_HOLDS } else { 0 };
        table.push(test, feature, values[i], [child(yes[i])?, child(no[i])?]);
    }
    // A tree's root is its node that is nobody's child.
    let mut below = vec![false; n];
    for i in (0..n).filter(|&i| table.tests[i] != Test::Leaf as u8) {
        table.children[i].iter().for_each(|&c| below[c as usize] = true);
    }
    table.roots = (0..n).filter(|&i| !below[i]).map(|i| i as u32).collect();
    let mut distinct = trees.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() != table.roots.len() {
        return Err(Error::new(format!("{} trees with {} roots", distinct.len(), table.roots.len())));
    }
    Ok((table, dtype))
}

fn aggregate(name: &str) -> Result<Aggregate> {
    Ok(match name {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => return Err(Error::new(format!("aggregate_function {other:?} is not known"))),
    })
}

/// `post_transform` of scores `[N, E]`.
pub(super) fn transformed(c: &mut Ctx<'_, '_>, v: ValueId, transform: &str) -> Result<ValueId> {
    match transform {
        "NONE" => Ok(v),
        "LOGISTIC" => c.map(x().unary(Unary::Sigmoid), &[v]),
        "SOFTMAX" => Ok(c.b.one(Op::Rows(RowKind::Softmax), &[v])?),
        "SOFTMAX_ZERO" => {
            // A score of 0 is no score: it stays 0 and takes no part.
            let none = || x().unary(Unary::Abs).binary(sofie_infer_runtime::map::Binary::Le, num(1e-7));
            let max = c.b.one(Op::Reduce(ReduceKind::Max, vec![c.rank(v) - 1]), &[v])?;
            let e = c.map(none().select(num(0.0), (x() - y()).unary(Unary::Exp)), &[v, max])?;
            let sum = c.b.one(Op::Reduce(ReduceKind::Sum, vec![c.rank(v) - 1]), &[e])?;
            c.map(x() / y().max(num(f64::from(f32::MIN_POSITIVE))), &[e, sum])
        }
        other => Err(Error::new(format!("post_transform {other:?} is not supported"))
            .help("supported are NONE, LOGISTIC, SOFTMAX and SOFTMAX_ZERO")),
    }
}

/// Scores plus the attribute `base_values`.
fn based(c: &mut Ctx<'_, '_>, v: ValueId, base: &[f64]) -> Result<ValueId> {
    let n = c.shape(v)[1].clone();
    if base.is_empty() {
        return Ok(v);
    }
    if !n.is(base.len() as i64) {
        return Err(Error::new(format!("{} base values for {n} scores", base.len())));
    }
    let base = c.b.tensor(Tensor::of(&[base.len()], base));
    let base = c.b.cast(base, c.dtype(v))?;
    c.map(x() + y(), &[v, base])
}

/// `TreeEnsembleRegressor`.
pub(super) fn regressor(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let targets = c.attrs.require("n_targets", c.attrs.int("n_targets")?)?;
    let targets = usize::try_from(targets).map_err(|_| Error::new(format!("n_targets is {targets}")))?;
    let (table, dtype) = old_table(c, "target", targets == 1)?;
    let aggregate = aggregate(c.attrs.string_or("aggregate_function", "SUM")?)?;
    let base = numbers(c, "base_values")?.map(|(_, b)| b).unwrap_or_default();
    let transform = c.attrs.string_or("post_transform", "NONE")?;
    let v = scores(c, &table, dtype, targets, aggregate)?;
    let v = based(c, v, &base)?;
    let v = transformed(c, v, transform)?;
    Ok(vec![c.b.cast(v, DType::F32)?])
}

/// The number of classes, and their labels where they are integers.
pub(super) fn labels<'n>(c: &Ctx<'n, '_>, integers: &str) -> Result<(usize, Option<&'n [i64]>)> {
    match (c.attrs.ints(integers)?, c.attrs.byte_strings("classlabels_strings")?) {
        (Some(ints), _) if !ints.is_empty() => Ok((ints.len(), Some(ints))),
        (_, Some(strings)) => Ok((strings.len(), None)),
        _ => Err(Error::new(format!("attribute {integers:?} is missing"))),
    }
}

/// The label of each row, by the index of its class; the index itself where labels are strings.
pub(super) fn labelled(c: &mut Ctx<'_, '_>, index: ValueId, labels: Option<&[i64]>) -> Result<ValueId> {
    let Some(labels) = labels else { return Ok(index) };
    if labels.iter().enumerate().all(|(i, &l)| i as i64 == l) {
        return Ok(index);
    }
    let table = c.b.tensor(Tensor::of(&[labels.len()], labels));
    Ok(c.b.one(Op::Gather { axis: 0, batch: 0 }, &[table, index])?)
}

/// The class of the largest score of each row, the first of equals.
pub(super) fn best(c: &mut Ctx<'_, '_>, v: ValueId) -> Result<ValueId> {
    let best = c.b.one(Op::ArgReduce { max: true, axis: 1, last: false }, &[v])?;
    c.drop_axes(best, &[1])
}

/// Whether each class gets a vote in every row, whatever the row: some tree has one at each of its leaves.
fn always_voted(table: &Table, classes: usize) -> bool {
    let mut voted = vec![false; classes];
    for &root in &table.roots {
        let mut of_tree: Option<Vec<u32>> = None;
        let mut stack = vec![root as usize];
        while let Some(node) = stack.pop() {
            let [a, b] = table.children[node].map(|c| c as usize);
            if table.tests[node] != Test::Leaf as u8 {
                stack.extend([a, b]);
                continue;
            }
            let here = &table.targets[a..b];
            of_tree = Some(match of_tree {
                None => here.to_vec(),
                Some(so_far) => so_far.into_iter().filter(|t| here.contains(t)).collect(),
            });
        }
        of_tree.unwrap_or_default().iter().for_each(|t| voted[*t as usize] = true);
    }
    voted.iter().all(|v| *v)
}

/// `TreeEnsembleClassifier`. With two classes of which only the first has votes, their sum is the score of the second;
/// where all votes are positive it is a probability.
pub(super) fn classifier(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (table, dtype) = old_table(c, "class", false)?;
    let (classes, names) = labels(c, "classlabels_int64s")?;
    let base = numbers(c, "base_values")?.map(|(_, b)| b).unwrap_or_default();
    let transform = c.attrs.string_or("post_transform", "NONE")?;
    let first_alone = table.targets.iter().all(|&t| t == 0);
    if classes == 2 && first_alone && base.len() < 2 {
        let v = scores(c, &table, dtype, 1, Aggregate::Sum)?;
        let v = based(c, v, &base)?;
        let v = c.b.cast(v, DType::F32)?;
        let positive = table.weights.iter().all(|w| *w >= 0.0);
        let threshold = if positive { 0.5 } else { 0.0 };
        let index = c.map(x().gt(num(threshold)).cast(DType::I64), &[v])?;
        let index = c.drop_axes(index, &[1])?;
        let (second, first) = match transform {
            "LOGISTIC" => (x().unary(Unary::Sigmoid), (-x()).unary(Unary::Sigmoid)),
            "NONE" | "SOFTMAX" | "SOFTMAX_ZERO" if positive => (x(), num(1.0) - x()),
            "NONE" | "SOFTMAX" | "SOFTMAX_ZERO" => (x(), -x()),
            other => return Err(Error::new(format!("post_transform {other:?} is not supported"))),
        };
        let (first, second) = (c.map(first, &[v])?, c.map(second, &[v])?);
        let both = c.b.one(Op::Concat(1), &[first, second])?;
        return Ok(vec![labelled(c, index, names)?, both]);
    }
    table.check(usize::MAX, classes)?;
    let votes = table.weights.iter().all(|w| *w >= 0.0) || !base.is_empty() || always_voted(&table, classes);
    if classes < 2 || classes == 2 && (first_alone || !base.is_empty()) || !votes {
        return Err(Error::new(format!("{classes} classes, some of which may go without a vote"))
            .help("ONNX does not say what their scores are; export with a vote for each class"));
    }
    let v = scores(c, &table, dtype, classes, Aggregate::Sum)?;
    let v = based(c, v, &base)?;
    let v = c.b.cast(v, DType::F32)?;
    let index = best(c, v)?;
    Ok(vec![labelled(c, index, names)?, transformed(c, v, transform)?])
}

/// `TreeEnsemble` of version 5: nodes and leaves apart.
pub(super) fn ensemble(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let tensor = |name: &str| -> Result<Option<Tensor>> {
        c.attrs.tensor(name)?.map(super::driver::dense).transpose()
    };
    let required = |name: &str| -> Result<Tensor> { c.attrs.require(name, tensor(name)?) };
    let (modes, splits, weights) =
        (required("nodes_modes")?, required("nodes_splits")?, required("leaf_weights")?);
    let features = ints(c, "nodes_featureids")?;
    let (yes, no) = (ints(c, "nodes_truenodeids")?, ints(c, "nodes_falsenodeids")?);
    let (yes_leaf, no_leaf) = (ints(c, "nodes_trueleafs")?, ints(c, "nodes_falseleafs")?);
    let missing = c.attrs.ints("nodes_missing_value_tracks_true")?.unwrap_or_default();
    let (roots, targets) = (ints(c, "tree_roots")?, ints(c, "leaf_targetids")?);
    c.attrs.ignore(&["nodes_hitrates"]);
    let members = tensor("membership_values")?.map(|t| t.to_f64s()).unwrap_or_default();
    let mut members = members.split(|v| v.is_nan()).map(<[f64]>::to_vec);
    let n = features.len();
    let lens = [modes.len(), splits.len(), yes.len(), no.len(), yes_leaf.len(), no_leaf.len()];
    if lens.iter().any(|&m| m != n) || targets.len() != weights.len() {
        return Err(Error::new(format!("the nodes' attributes have lengths {n} and {lens:?}")));
    }
    let mut table = Table { weights: weights.to_f64s(), ..Table::default() };
    for &t in targets {
        table.targets.push(u32::try_from(t).map_err(|_| Error::new(format!("leaf_targetids holds {t}")))?);
    }
    // Nodes keep their numbers, leaves follow; then what set membership takes beside them.
    let count = n + targets.len();
    let child = |id: i64, leaf: i64| -> Result<u32> {
        let limit = if leaf != 0 { targets.len() } else { n };
        let id = usize::try_from(id).ok().filter(|&id| id < limit);
        let id = id.ok_or_else(|| Error::new("a child that does not exist"))?;
        Ok(if leaf != 0 { n + id } else { id } as u32)
    };
    let mut later: Vec<(u32, u32, [u32; 2], Vec<f64>)> = Vec::new();
    for i in 0..n {
        let children = [child(yes[i], yes_leaf[i])?, child(no[i], no_leaf[i])?];
        let feature =
            u32::try_from(features[i]).map_err(|_| Error::new(format!("feature {}", features[i])))?;
        let tracks = if missing.get(i).is_some_and(|&m| m != 0) { MISSING_HOLDS } else { 0 };
        let test = match modes.get(i).bits {
            0 => Test::Le,
            1 => Test::Lt,
            2 => Test::Ge,
            3 => Test::Gt,
            4 => Test::Eq,
            5 => Test::Ne,
            6 => {
                let set = members.next().ok_or_else(|| Error::new("membership_values is too short"))?;
                let node = table.push(Test::Eq as u8 | tracks, feature, 0.0, children);
                later.push((node, feature, children, set));
                continue;
            }
            other => return Err(Error::new(format!("nodes_modes holds {other}"))),
        };
        table.push(test as u8 | tracks, feature, splits.get(i).to_f64(), children);
    }
    for i in 0..targets.len() as u32 {
        table.push(Test::Leaf as u8, 0, 0.0, [i, i + 1]);
    }
    debug_assert_eq!(table.tests.len(), count);
    // Being in a set is being equal to its first element, or else to its second, and so on.
    for (node, feature, [yes, no], set) in later {
        let mut otherwise = no;
        for &value in set.iter().skip(1).rev() {
            otherwise = table.push(table.tests[node as usize], feature, value, [yes, otherwise]);
        }
        match set.first() {
            Some(&value) => table.thresholds[node as usize] = value,
            None => otherwise = no,
        }
        // An empty set holds nothing.
        table.children[node as usize] = [if set.is_empty() { no } else { yes }, otherwise];
    }
    for &r in roots {
        table.roots.push(u32::try_from(r).map_err(|_| Error::new(format!("tree_roots holds {r}")))?);
    }
    let targets = c.attrs.require("n_targets", c.attrs.int("n_targets")?)?;
    let targets = usize::try_from(targets).map_err(|_| Error::new(format!("n_targets is {targets}")))?;
    let aggregate = match c.attrs.int_or("aggregate_function", 1)? {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => return Err(Error::new(format!("aggregate_function is {other}"))),
    };
    let transform = match c.attrs.int_or("post_transform", 0)? {
        0 => "NONE",
        1 => "SOFTMAX",
        2 => "LOGISTIC",
        3 => "SOFTMAX_ZERO",
        _ => "PROBIT",
    };
    let v = scores(c, &table, splits.dtype(), targets, aggregate)?;
    Ok(vec![transformed(c, v, transform)?])
}

/// A number per row that says whether it is above a threshold: for `Binarizer`.
pub(super) fn above(threshold: f64) -> Expr {
    x().gt(num(threshold)).select(num(1.0), num(0.0))
}

/// `[N, E]` of a tensor that may be a single row.
pub(super) fn rows(c: &mut Ctx<'_, '_>, v: ValueId) -> Result<ValueId> {
    match c.shape(v).dims() {
        [n] => {
            let n = n.clone();
            c.reshape(v, &[Dim::ONE, n])
        }
        _ => Ok(v),
    }
}
