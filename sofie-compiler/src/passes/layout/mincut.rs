//! Minimum cuts by blocking flows (Dinic 1970): which vertices keep label 0 (the source's side) and which
//! take label 1 (the sink's side) at the least cost.

/// A network between a source and a sink.
#[derive(Debug, Default)]
pub struct Network {
    /// Head and residual capacity; the reverse of arc i is arc `i ^ 1`.
    arcs: Vec<(usize, i64)>,
    /// Arcs that leave each vertex.
    leaving: Vec<Vec<usize>>,
}

/// The source: label 0.
pub const SOURCE: usize = 0;
/// The sink: label 1.
pub const SINK: usize = 1;
/// A capacity that no cut contains.
pub const INFINITE: i64 = i64::MAX / 4;

impl Network {
    /// Source and sink alone.
    pub fn new() -> Network {
        Network { arcs: Vec::new(), leaving: vec![Vec::new(); 2] }
    }

    /// A new vertex.
    pub fn vertex(&mut self) -> usize {
        self.leaving.push(Vec::new());
        self.leaving.len() - 1
    }

    /// Costs `cost` where `from` has label 0 and `to` has label 1.
    pub fn arc(&mut self, from: usize, to: usize, cost: i64) {
        if cost > 0 && from != to {
            self.leaving[from].push(self.arcs.len());
            self.arcs.push((to, cost));
            self.leaving[to].push(self.arcs.len());
            self.arcs.push((from, 0));
        }
    }

    /// The least cost, and for each vertex whether it has label 1 in the cut with the fewest such.
    pub fn cut(mut self) -> (i64, Vec<bool>) {
        let mut flow = 0i64;
        loop {
            let levels = self.levels();
            if levels[SINK].is_none() {
                break;
            }
            let mut next = vec![0; self.leaving.len()];
            loop {
                let pushed = self.augment(SOURCE, INFINITE, &levels, &mut next);
                if pushed == 0 {
                    break;
                }
                flow = flow.saturating_add(pushed);
            }
        }
        (flow, self.reaching_sink())
    }

    /// Distances from the source over arcs with capacity left.
    fn levels(&self) -> Vec<Option<usize>> {
        let mut levels = vec![None; self.leaving.len()];
        levels[SOURCE] = Some(0);
        let mut queue = vec![SOURCE];
        let mut at = 0;
        while let Some(&v) = queue.get(at) {
            at += 1;
            for &a in &self.leaving[v] {
                let (to, left) = self.arcs[a];
                if left > 0 && levels[to].is_none() {
                    levels[to] = levels[v].map(|l| l + 1);
                    queue.push(to);
                }
            }
        }
        levels
    }

    /// Pushes flow along one path of rising levels, without recursion: paths are as long as networks deep.
    fn augment(&mut self, source: usize, limit: i64, levels: &[Option<usize>], next: &mut [usize]) -> i64 {
        let mut path: Vec<usize> = Vec::new();
        let mut v = source;
        while v != SINK {
            match self.leaving[v].get(next[v]) {
                Some(&a) => {
                    let (to, left) = self.arcs[a];
                    if left > 0 && levels[to].is_some() && levels[to] == levels[v].map(|l| l + 1) {
                        path.push(a);
                        v = to;
                    } else {
                        next[v] += 1;
                    }
                }
                None => match path.pop() {
                    Some(a) => {
                        v = self.arcs[a ^ 1].0;
                        next[v] += 1;
                    }
                    None => return 0,
                },
            }
        }
        let pushed = path.iter().map(|&a| self.arcs[a].1).fold(limit, i64::min);
        for a in path {
            self.arcs[a].1 -= pushed;
            self.arcs[a ^ 1].1 += pushed;
        }
        pushed
    }

    /// The vertices from which the sink can be reached over arcs with capacity left.
    fn reaching_sink(&self) -> Vec<bool> {
        let mut reaches = vec![false; self.leaving.len()];
        reaches[SINK] = true;
        let mut queue = vec![SINK];
        while let Some(v) = queue.pop() {
            for &a in &self.leaving[v] {
                let (from, forward) = (self.arcs[a].0, self.arcs[a ^ 1].1);
                if forward > 0 && !reaches[from] {
                    reaches[from] = true;
                    queue.push(from);
                }
            }
        }
        reaches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_side_wins_and_ties_stay() {
        let mut n = Network::new();
        let (a, b) = (n.vertex(), n.vertex());
        // a wants label 1 more than b wants label 0.
        n.arc(a, SINK, 10);
        n.arc(SOURCE, b, 3);
        n.arc(a, b, 5);
        n.arc(b, a, 5);
        let (cost, one) = n.cut();
        assert_eq!((cost, one[a], one[b]), (3, true, true));

        let mut n = Network::new();
        let a = n.vertex();
        n.arc(a, SINK, 4);
        n.arc(SOURCE, a, 4);
        let (cost, one) = n.cut();
        assert_eq!((cost, one[a]), (4, false));
    }

    /// All labellings of small networks.
    #[test]
    fn cuts_are_minimal() {
        let mut state = 12345u64;
        let mut random = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % n
        };
        for _ in 0..300 {
            let count = 2 + random(5) as usize;
            let arcs: Vec<(usize, usize, i64)> = (0..random(14))
                .map(|_| (random(count as u64) as usize, random(count as u64) as usize, random(9) as i64))
                .collect();
            let mut network = Network::new();
            while network.leaving.len() < count {
                network.vertex();
            }
            arcs.iter().filter(|(_, to, _)| *to != SOURCE).for_each(|&(f, t, c)| network.arc(f, t, c));
            let cost = |labels: usize| -> i64 {
                let one = |v: usize| v == SINK || v != SOURCE && labels >> v & 1 == 1;
                let cut = arcs.iter().filter(|(f, t, _)| *t != SOURCE && f != t && !one(*f) && one(*t));
                cut.map(|(.., c)| c).sum()
            };
            let best = (0..1usize << count).map(cost).min().unwrap();
            let (found, labels) = network.cut();
            assert_eq!(found, best);
            assert_eq!(cost(labels.iter().enumerate().map(|(v, l)| usize::from(*l) << v).sum()), best);
        }
    }
}
