//! How convolutions over images of free extents round. Winograd's tiles pay for large images alone and give other bits
//! than a direct sum, so while an extent is free it is decided for a likely one, and stays so whatever it becomes.

use crate::ir::{Conv, Graph, Invalid, Node, Op, Rewriter, Rounding, Shape};
use sofie_infer_runtime::conv::{self, Window};

/// Decides between tiles and direct sums where the extents cannot.
pub fn rounding(graph: &Graph) -> Result<Graph, Invalid> {
    Rewriter::run(graph, |r, node| {
        let Op::Conv(c, e) = &node.op else { return Ok(None) };
        if c.rounding != Rounding::ByExtents || !is_free(graph, node) {
            return Ok(None);
        }
        let c = Conv { rounding: Rounding::By(tile(graph, node, c)), ..c.clone() };
        let inputs = r.get_all(&node.inputs)?;
        r.b.push(Op::Conv(c, *e), &inputs).map(Some)
    })
}

/// The extents of an image, the number of images left out.
fn image(shape: &Shape) -> &[crate::ir::Dim] {
    shape.dims().get(1..).unwrap_or_default()
}

fn is_free(g: &Graph, node: &Node) -> bool {
    let values = node.inputs.iter().take(1).chain(&node.outputs);
    values.flat_map(|v| image(g.shape(*v))).any(|d| d.fixed().is_none())
}

fn tile(g: &Graph, node: &Node, c: &Conv) -> Option<conv::Tile> {
    let likely = |v| -> Option<Vec<usize>> {
        image(g.shape(v)).iter().map(|d| usize::try_from(d.likely()).ok()).collect()
    };
    let (x, y) = (likely(node.inputs[0])?, likely(node.outputs[0])?);
    let ((channels, x), (m, y)) = (x.split_last()?, y.split_last()?);
    let w = &c.window;
    if x.len() > 3 || !channels.is_multiple_of(c.group) || !m.is_multiple_of(c.group) {
        return None;
    }
    let window = Window::new(x, y, &w.kernel, &w.strides, &w.dilations, &w.pads_begin);
    conv::Conv::tile(window, *channels, *m, c.group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, Dim, Epilogue, Tensor, Window};
    use sofie_infer_runtime::DType;

    #[test]
    fn a_convolution_over_a_free_image_rounds_alike_at_all_extents() {
        let after = |n: Dim| {
            let mut b = Builder::new();
            let x = b.input(
                "x",
                DType::F32,
                [Dim::bounded("b", 0, 9), n.clone(), n, 64.into()].into_iter().collect(),
            );
            let w = b.tensor(Tensor::of(&[3, 3, 64, 64], &[0.5f32; 9 * 64 * 64]));
            let [one, pads] = [vec![1; 2], vec![1; 2]];
            let window = Window {
                kernel: vec![3; 2],
                strides: one.clone(),
                dilations: one,
                pads_begin: pads.clone(),
                pads_end: pads,
            };
            let y = b.one(Op::Conv(Conv::new(window, 1), Epilogue::NONE), &[x, w]).unwrap();
            b.output("y", y);
            let graph = crate::passes::optimize(b.finish(), None).unwrap();
            let found = graph.nodes().iter().find_map(|n| match &n.op {
                Op::Conv(c, _) => Some(c.rounding),
                _ => None,
            });
            found.unwrap()
        };
        assert_eq!(after(Dim::from(5usize)), Rounding::ByExtents);
        let free = after(Dim::bounded("n", 0, 6));
        assert!(matches!(free, Rounding::By(Some(_))), "{free:?}");
        assert_eq!(after(Dim::bounded("n", 3, 1000)), free);
    }
}
