//! Where the nodes of a graph stand in a picture: rows by longest path, order in a row by the mean of the neighbours,
//! then the places that are nearest to those means without overlap (isotonic regression, which is exact).

/// Distance between two rows.
const ROW: f64 = 74.0;
/// Room between neighbours in a row.
const GAP: f64 = 18.0;
/// The width that a long edge takes where it passes a row.
const PASS: f64 = 10.0;
/// Sweeps down and up; more change little.
const SWEEPS: usize = 12;

/// Places for a graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// The centre of each node.
    pub at: Vec<(f64, f64)>,
    /// Of each edge, the points that it goes through, its ends among them.
    pub routes: Vec<Vec<(f64, f64)>>,
    /// Width of the whole.
    pub width: f64,
    /// Height of the whole.
    pub height: f64,
}

/// Lays out a graph whose edges lead from lower to higher numbers; `widths` are those of the nodes.
pub fn layout(widths: &[f64], edges: &[(usize, usize)]) -> Layout {
    let rows = Rows::new(widths, edges);
    let x = rows.places();
    let left = (0..x.len()).map(|v| x[v] - rows.widths[v] / 2.0).fold(f64::INFINITY, f64::min);
    let left = if left.is_finite() { left } else { 0.0 };
    let right = (0..x.len()).map(|v| x[v] + rows.widths[v] / 2.0).fold(left, f64::max);
    let at = |v: usize| (x[v] - left + GAP, (rows.row[v] as f64 + 0.5) * ROW);
    Layout {
        at: (0..widths.len()).map(at).collect(),
        routes: rows.chains.iter().map(|chain| chain.iter().map(|&v| at(v)).collect()).collect(),
        width: right - left + 2.0 * GAP,
        height: rows.members.len() as f64 * ROW,
    }
}

/// Nodes, and the places where long edges pass, row by row.
struct Rows {
    widths: Vec<f64>,
    row: Vec<usize>,
    members: Vec<Vec<usize>>,
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
    /// Of each edge, its ends and what it passes.
    chains: Vec<Vec<usize>>,
}

impl Rows {
    fn new(widths: &[f64], edges: &[(usize, usize)]) -> Rows {
        let n = widths.len();
        let mut row: Vec<usize> = vec![0; n];
        let mut sorted = edges.to_vec();
        sorted.sort_unstable();
        for &(from, to) in &sorted {
            row[to] = row[to].max(row[from] + 1);
        }
        // What nothing leads to stands just above its first reader, not at the very top.
        for v in 0..n {
            if !edges.iter().any(|e| e.1 == v)
                && let Some(first) = edges.iter().filter(|e| e.0 == v).map(|e| row[e.1]).min()
            {
                row[v] = first.saturating_sub(1);
            }
        }
        let mut rows = Rows {
            widths: widths.to_vec(),
            members: vec![Vec::new(); row.iter().max().map_or(0, |r| r + 1)],
            row,
            above: vec![Vec::new(); n],
            below: vec![Vec::new(); n],
            chains: Vec::new(),
        };
        for v in 0..n {
            rows.members[rows.row[v]].push(v);
        }
        for &(from, to) in edges {
            rows.connect(from, to);
        }
        rows
    }

    fn connect(&mut self, from: usize, to: usize) {
        let mut chain = vec![from];
        for row in self.row[from] + 1..self.row[to] {
            let pass = self.widths.len();
            self.widths.push(PASS);
            self.row.push(row);
            self.above.push(Vec::new());
            self.below.push(Vec::new());
            self.members[row].push(pass);
            chain.push(pass);
        }
        chain.push(to);
        for w in chain.windows(2) {
            self.below[w[0]].push(w[1]);
            self.above[w[1]].push(w[0]);
        }
        self.chains.push(chain);
    }

    /// The centre of everything, along its row.
    fn places(&self) -> Vec<f64> {
        let mut members = self.members.clone();
        let mut x = vec![0.0; self.widths.len()];
        for row in &members {
            self.place(row, &row.iter().map(|_| 0.0).collect::<Vec<_>>(), &mut x);
        }
        for sweep in 0..SWEEPS {
            let down = sweep % 2 == 0;
            let order: Vec<usize> =
                if down { (0..members.len()).collect() } else { (0..members.len()).rev().collect() };
            for r in order {
                let towards = |v: usize| {
                    let (first, second) =
                        if down { (&self.above, &self.below) } else { (&self.below, &self.above) };
                    let near = if first[v].is_empty() { &second[v] } else { &first[v] };
                    match near.len() {
                        0 => x[v],
                        n => near.iter().map(|&u| x[u]).sum::<f64>() / n as f64,
                    }
                };
                let mut row: Vec<(f64, usize)> = members[r].iter().map(|&v| (towards(v), v)).collect();
                // The order settles in the first half; the second only moves.
                if sweep < SWEEPS / 2 {
                    row.sort_by(|a, b| a.0.total_cmp(&b.0));
                }
                members[r] = row.iter().map(|(_, v)| *v).collect();
                let wanted: Vec<f64> = row.iter().map(|(want, _)| *want).collect();
                self.place(&members[r], &wanted, &mut x);
            }
        }
        x
    }

    /// Puts a row's members as near to where they want to be as their widths allow: with the widths before each taken
    /// off, the places must not fall, and the nearest such sequence is found by merging blocks that do.
    fn place(&self, row: &[usize], wanted: &[f64], x: &mut [f64]) {
        let mut before = 0.0;
        let mut offsets = Vec::with_capacity(row.len());
        let mut blocks: Vec<(f64, usize)> = Vec::new();
        for (&v, want) in row.iter().zip(wanted) {
            let offset = before + self.widths[v] / 2.0;
            before += self.widths[v] + GAP;
            offsets.push(offset);
            let mut block = (want - offset, 1);
            while let Some(&(mean, n)) = blocks.last().filter(|last| last.0 > block.0) {
                blocks.pop();
                let all = n + block.1;
                block = ((mean * n as f64 + block.0 * block.1 as f64) / all as f64, all);
            }
            blocks.push(block);
        }
        let means = blocks.iter().flat_map(|&(mean, n)| std::iter::repeat_n(mean, n));
        for ((&v, offset), mean) in row.iter().zip(offsets).zip(means) {
            x[v] = mean + offset;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_a_straight_line() {
        let l = layout(&[100.0, 40.0, 80.0], &[(0, 1), (1, 2)]);
        assert!(l.at.iter().all(|p| (p.0 - l.at[0].0).abs() < 1e-9), "{l:?}");
        assert!(l.at[0].1 < l.at[1].1 && l.at[1].1 < l.at[2].1);
        assert_eq!(l.height, 3.0 * ROW);
    }

    #[test]
    fn neighbours_do_not_overlap_and_long_edges_pass_every_row() {
        let edges = [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4), (0, 5), (4, 5)];
        let widths = [60.0, 90.0, 90.0, 90.0, 60.0, 60.0];
        let l = layout(&widths, &edges);
        for (v, u) in [(1, 2), (2, 3), (1, 3)] {
            assert_eq!(l.at[v].1, l.at[u].1);
            assert!((l.at[v].0 - l.at[u].0).abs() >= 90.0 + GAP - 1e-9, "{l:?}");
        }
        assert_eq!(l.routes[6].len(), 4, "{:?}", l.routes[6]);
        assert!(l.at.iter().zip(widths).all(|(p, w)| p.0 - w / 2.0 >= 0.0 && p.0 + w / 2.0 <= l.width));
    }

    #[test]
    fn nothing_is_a_picture_too() {
        assert_eq!(layout(&[], &[]).at, []);
    }
}
