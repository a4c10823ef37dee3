//! An expression as a row of tests, each of which says where to go on: nothing is allocated, and no test comes twice.

use super::{
    layer::{Layer, Shift},
    parse::Tree,
    question::Test,
};

/// Layers that an expression may be about.
pub(super) const LAYERS: usize = 5;

/// A place in the program, or an end.
type Place = u16;

/// The packet is wanted.
const YES: Place = Place::MAX;
/// It is not.
const NO: Place = Place::MAX - 1;

/// One test.
#[derive(Clone, Copy, Debug)]
struct Step {
    test: Test,
    layer: u8,
    on_true: Place,
    on_false: Place,
}

/// A program. Steps lead forward only.
#[derive(Clone, Debug)]
pub(super) struct Program {
    steps: Box<[Step]>,
    /// What leads from each layer to the next.
    shifts: Box<[Shift]>,
}

impl Program {
    /// Of an expression whose parts are about the layers between which `shifts` lead.
    pub(super) fn new(tree: &Tree, shifts: Vec<Shift>) -> Self {
        let mut steps = Vec::new();
        write(tree, &mut steps, YES, NO);
        steps.reverse();
        let last = steps.len();
        // Places were counted from the end, which was written first.
        let turn = |place: Place| match place {
            YES | NO => place,
            place => (last - 1 - usize::from(place)) as Place,
        };
        for step in &mut steps {
            (step.on_true, step.on_false) = (turn(step.on_true), turn(step.on_false));
        }
        Self {
            steps: steps.into(),
            shifts: shifts.into(),
        }
    }

    /// The frame is wanted. An empty program wants all.
    #[inline]
    pub(super) fn run(&self, frame: &[u8]) -> bool {
        let mut layers = [Layer::NONE; LAYERS];
        layers[0] = Layer::of(frame);
        for (index, shift) in self.shifts.iter().enumerate().take(LAYERS - 1) {
            // Behind what is not there, nothing is.
            match shift.find(&layers[index]) {
                Some((_, next)) => layers[index + 1] = next,
                None => break,
            }
        }
        let mut place = 0;
        while let Some(step) = self.steps.get(usize::from(place)) {
            let layer = layers.get(usize::from(step.layer)).unwrap_or(&Layer::NONE);
            let next = if step.test.run(layer) {
                step.on_true
            } else {
                step.on_false
            };
            match next {
                YES => return true,
                NO => return false,
                // Forward only, whatever was written.
                next => place = next.max(place + 1),
            }
        }
        self.steps.is_empty()
    }
}

/// Writes an expression, last test first, and gives where it begins, counted from the end.
fn write(tree: &Tree, steps: &mut Vec<Step>, on_true: Place, on_false: Place) -> Place {
    match tree {
        Tree::Test(test, layer) => {
            steps.push(Step {
                test: *test,
                layer: *layer,
                on_true,
                on_false,
            });
            (steps.len() - 1) as Place
        }
        Tree::Not(inner) => write(inner, steps, on_false, on_true),
        Tree::And(first, second) => {
            let second = write(second, steps, on_true, on_false);
            write(first, steps, second, on_false)
        }
        Tree::Or(first, second) => {
            let second = write(second, steps, on_true, on_false);
            write(first, steps, on_true, second)
        }
    }
}
