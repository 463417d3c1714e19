//! Sketches of the audit log's blocks, for the index of its search.

use std::sync::Mutex;

use countersign_core::sketch::{self, Facet, Sketch};
use pyo3::{exceptions::PyValueError, prelude::*, types::PyBytes};

use crate::{Bytes, locked};

/// Makes the sketches of blocks that follow each other.
#[pyclass(frozen)]
pub struct Sketcher {
    sketch: Mutex<Sketch>,
    records_a_block: usize,
}

#[pymethods]
impl Sketcher {
    #[new]
    fn new(records_a_block: usize) -> Self {
        Self {
            sketch: Mutex::default(),
            records_a_block,
        }
    }

    /// Take entries in, a line each. For every block that became full: how many of these lines are in it or before it, and its sketch.
    fn add<'py>(&self, py: Python<'py>, lines: &[u8]) -> PyResult<Vec<(usize, Bytes<'py>)>> {
        let full = py.detach(|| {
            let mut sketch = locked(&self.sketch)?;
            let mut full = Vec::new();
            for (number, line) in lines.split(|byte| *byte == b'\n').enumerate() {
                sketch.add(line);
                if sketch.is_full(self.records_a_block) {
                    full.push((number + 1, std::mem::take(&mut *sketch)));
                }
            }
            Ok::<_, PyErr>(full)
        })?;
        let full = full.into_iter();
        Ok(full
            .map(|(count, sketch)| (count, PyBytes::new(py, sketch.places())))
            .collect())
    }

    /// The sketch of what was taken in since the last full block.
    fn rest<'py>(&self, py: Python<'py>) -> PyResult<Bytes<'py>> {
        Ok(PyBytes::new(py, locked(&self.sketch)?.places()))
    }
}

/// The places that the sketch of every block with a hit has set. Facets are pairs of a name and a value.
#[pyfunction]
pub fn sketch_places(facets: Vec<(String, String)>, about: &str, text: &str) -> PyResult<Vec<usize>> {
    let named = facets.iter().map(|(name, value)| {
        Facet::named(name)
            .map(|facet| (facet, value.as_str()))
            .ok_or_else(|| PyValueError::new_err(format!("unknown facet {name:?}")))
    });
    Ok(sketch::asked(&named.collect::<PyResult<Vec<_>>>()?, about, text))
}

/// Sketches that follow each other, turned around: for each place a bit for each of them.
#[pyfunction]
pub fn turn_sketches<'py>(py: Python<'py>, sketches: &[u8]) -> Bytes<'py> {
    PyBytes::new(py, &py.detach(|| sketch::turn(sketches)))
}
