//! A graph as an SVG: boxes in rows, curves between them. What a box stands for is in its `data-k`, by which the page
//! finds what belongs together in the two pictures.

use std::fmt::Write;

use super::html::escape;
use super::layout::layout;

/// The height of a box.
const HEIGHT: f64 = 40.0;
/// The width of a letter of a box's first line, and of its second, in the page's font sizes.
const LETTERS: [f64; 2] = [7.4, 6.2];
/// Letters that a box shows of a name.
const SHOWN: usize = 34;

/// A box.
#[derive(Clone, Debug, Default)]
pub struct Vertex {
    /// The first line.
    pub title: String,
    /// The second line.
    pub subtitle: String,
    /// What the mouse shows.
    pub tip: String,
    /// The colour, as a class of the page's style.
    pub class: &'static str,
    /// The ONNX nodes that it stands for, by number.
    pub keys: Vec<usize>,
}

/// A graph to draw; edges lead from lower to higher numbers.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// The boxes.
    pub vertices: Vec<Vertex>,
    /// From, to, and what flows there.
    pub edges: Vec<(usize, usize, String)>,
}

impl Picture {
    /// Adds a box and gives its number.
    pub fn add(&mut self, vertex: Vertex) -> usize {
        self.vertices.push(vertex);
        self.vertices.len() - 1
    }

    /// Adds an edge, once.
    pub fn connect(&mut self, from: usize, to: usize, what: &str) {
        if from < to && !self.edges.iter().any(|e| (e.0, e.1) == (from, to)) {
            self.edges.push((from, to, what.to_owned()));
        }
    }

    /// The drawing.
    pub fn svg(&self, id: &str) -> String {
        let widths: Vec<f64> = self.vertices.iter().map(width).collect();
        let ends: Vec<(usize, usize)> = self.edges.iter().map(|e| (e.0, e.1)).collect();
        let place = layout(&widths, &ends);
        let mut svg = format!(
            "<svg id=\"{id}\" class=\"graph\" role=\"img\" viewBox=\"0 0 {:.0} {:.0}\" data-w=\"{:.0}\" data-h=\"{:.0}\" data-x=\"{:.0}\">\n<g class=\"edges\">\n",
            place.width,
            place.height,
            place.width,
            place.height,
            place.at.first().map_or(0.0, |at| at.0),
        );
        for ((_, _, what), route) in self.edges.iter().zip(&place.routes) {
            let _ = writeln!(svg, "<path d=\"{}\"><title>{}</title></path>", curve(route), escape(what));
        }
        svg += "</g>\n";
        for ((v, w), (x, y)) in self.vertices.iter().zip(&widths).zip(&place.at) {
            let keys: Vec<String> = v.keys.iter().map(ToString::to_string).collect();
            let (left, top) = (x - w / 2.0, y - HEIGHT / 2.0);
            let _ = writeln!(
                svg,
                "<g class=\"node {}\" data-k=\"{}\"><title>{}</title><rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{w:.1}\" height=\"{HEIGHT}\" rx=\"6\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\">{}</text><text class=\"sub\" x=\"{x:.1}\" y=\"{:.1}\">{}</text></g>",
                v.class,
                keys.join(" "),
                escape(&v.tip),
                y - 3.0,
                escape(&short(&v.title)),
                y + 12.0,
                escape(&short(&v.subtitle)),
            );
        }
        svg += "</svg>";
        svg
    }
}

fn width(v: &Vertex) -> f64 {
    let lines = [short(&v.title), short(&v.subtitle)];
    let widest = lines.iter().zip(LETTERS).map(|(line, letter)| line.chars().count() as f64 * letter);
    widest.fold(48.0, f64::max) + 18.0
}

/// A long name keeps its end, which is where names of one model differ.
pub fn short(name: &str) -> String {
    let letters = name.chars().count();
    match letters.checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("…{}", name.chars().skip(more + 1).collect::<String>()),
        _ => name.to_owned(),
    }
}

/// A line from box to box: down at both ends of each stretch.
fn curve(route: &[(f64, f64)]) -> String {
    let mut path = String::new();
    let last = route.len().saturating_sub(1);
    for (i, w) in route.windows(2).enumerate() {
        let ((x0, mut y0), (x1, mut y1)) = (w[0], w[1]);
        if i == 0 {
            y0 += HEIGHT / 2.0;
            let _ = write!(path, "M{x0:.1} {y0:.1}");
        }
        if i + 1 == last {
            y1 -= HEIGHT / 2.0;
        }
        let middle = (y0 + y1) / 2.0;
        let _ = write!(path, "C{x0:.1} {middle:.1} {x1:.1} {middle:.1} {x1:.1} {y1:.1}");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_keep_their_end() {
        let mut p = Picture::default();
        let a = p.add(Vertex { title: "<a & b>".into(), keys: vec![1, 2], ..Vertex::default() });
        let b = p.add(Vertex { title: format!("{}end", "x".repeat(80)), ..Vertex::default() });
        p.connect(a, b, "f32[1]");
        p.connect(a, b, "again");
        let svg = p.svg("g");
        assert!(svg.contains("&lt;a &amp; b&gt;") && svg.contains("data-k=\"1 2\""), "{svg}");
        assert!(svg.contains("xend<") && !svg.contains("again"), "{svg}");
    }
}
