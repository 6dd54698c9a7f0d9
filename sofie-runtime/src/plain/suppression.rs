//! `NonMaxSuppression`: of boxes that overlap, the one with the best score.

use super::Algorithm;
use crate::map::{Dst, Src};

/// `selected [capacity, 3] (i64: event, class, box), count [1] (i64) ← boxes [N, B, 4], scores [N, C, B],
/// most a class [1] (i64), overlap [1], score [1]`, floats `f32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// Events.
    pub batch: usize,
    /// Classes.
    pub classes: usize,
    /// Boxes of an event.
    pub boxes: usize,
    /// The most that are written; `count` counts all.
    pub capacity: usize,
    /// Boxes are centre and extents (x, y, w, h) rather than two corners (y, x, y, x).
    pub centres: bool,
    /// Scores have to be above a threshold.
    pub threshold: bool,
}

impl Suppression {
    /// Left, top, right, bottom.
    fn corners(&self, b: &[f32]) -> [f32; 4] {
        if self.centres {
            let (w, h) = (b[2] / 2.0, b[3] / 2.0);
            return [b[0] - w, b[1] - h, b[0] + w, b[1] + h];
        }
        [b[1].min(b[3]), b[0].min(b[2]), b[1].max(b[3]), b[0].max(b[2])]
    }

    /// Intersection over union.
    fn overlap(&self, a: &[f32], b: &[f32]) -> f32 {
        let (a, b) = (self.corners(a), self.corners(b));
        let area = |c: [f32; 4]| (c[2] - c[0]) * (c[3] - c[1]);
        let width = a[2].min(b[2]) - a[0].max(b[0]);
        let height = a[3].min(b[3]) - a[1].max(b[1]);
        if width <= 0.0 || height <= 0.0 || area(a) <= 0.0 || area(b) <= 0.0 {
            return 0.0;
        }
        let both = width * height;
        both / (area(a) + area(b) - both)
    }
}

impl Algorithm for Suppression {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let [selected, count, scratch] = ys else { panic!("suppression: two results and scratch") };
        let (boxes, scores): (&[f32], &[f32]) = (xs[0].slice(), xs[1].slice());
        let most = xs[2].slice::<i64>()[0].max(0) as usize;
        let (limit, least) = (xs[3].slice::<f32>()[0], xs[4].slice::<f32>()[0]);
        let selected = &mut selected.slice::<i64>()[..3 * self.capacity];
        selected.fill(0);
        let (order, kept) = scratch.slice::<f64>().split_at_mut(self.boxes);
        let mut n = 0;
        for event in 0..self.batch {
            let boxes = &boxes[event * self.boxes * 4..][..self.boxes * 4];
            let at = |i: f64| &boxes[4 * i as usize..][..4];
            for class in 0..self.classes {
                let scores = &scores[(event * self.classes + class) * self.boxes..][..self.boxes];
                order.iter_mut().enumerate().for_each(|(i, o)| *o = i as f64);
                let score = |i: &f64| scores[*i as usize];
                order.sort_unstable_by(|a, b| score(b).total_cmp(&score(a)).then(a.total_cmp(b)));
                let mut picked = 0;
                for i in order.iter() {
                    // A score that is no number is above no threshold.
                    let above = !self.threshold || score(i) > least;
                    if picked == most || !above {
                        break;
                    }
                    if kept[..picked].iter().any(|k| self.overlap(at(*i), at(*k)) > limit) {
                        continue;
                    }
                    kept[picked] = *i;
                    picked += 1;
                    if n < self.capacity {
                        selected[3 * n..][..3].copy_from_slice(&[event as i64, class as i64, *i as i64]);
                    }
                    n += 1;
                }
            }
        }
        count.slice::<i64>()[0] = n as i64;
    }

    fn scratch(&self) -> usize {
        2 * self.boxes.max(1)
    }
}
