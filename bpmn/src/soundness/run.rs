//! Runs: which elements moved, in which order.
//!
//! Reduction puts runs together faster than they could be copied, so a run is kept as a rope whose
//! pieces are shared, and is read only for what is reported.

/// A run, by its place in [`Runs`].
pub(super) type RunIx = usize;

/// A node of the net moved, by one of its outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Move {
    pub(super) node: usize,
    pub(super) outcome: usize,
}

#[derive(Debug, Clone, Copy)]
enum Piece {
    Move(Move),
    Then(RunIx, RunIx),
    /// Two runs that lead to the same: the first is shown, both can happen.
    Or(RunIx, RunIx),
}

/// All runs of one analysis.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pieces: Vec<Piece>,
}

impl Runs {
    pub(super) fn of(&mut self, node: usize, outcome: usize) -> RunIx {
        self.push(Piece::Move(Move { node, outcome }))
    }

    pub(super) fn then(&mut self, first: RunIx, next: RunIx) -> RunIx {
        self.push(Piece::Then(first, next))
    }

    pub(super) fn or(&mut self, shown: RunIx, other: RunIx) -> RunIx {
        self.push(Piece::Or(shown, other))
    }

    fn push(&mut self, piece: Piece) -> RunIx {
        self.pieces.push(piece);
        self.pieces.len() - 1
    }

    /// The moves of a run in order, at most `most` of them.
    pub(super) fn moves(&self, run: RunIx, most: usize, out: &mut Vec<Move>) {
        let mut pending = vec![run];
        while let Some(run) = pending.pop() {
            if out.len() >= most {
                return;
            }
            match self.pieces[run] {
                Piece::Move(made) => out.push(made),
                Piece::Then(first, next) => pending.extend([next, first]),
                Piece::Or(shown, _) => pending.push(shown),
            }
        }
    }

    /// Every move in any of these runs, in no order.
    pub(super) fn all(&self, runs: impl Iterator<Item = RunIx>) -> Vec<Move> {
        let mut seen = vec![false; self.pieces.len()];
        let mut pending: Vec<RunIx> = runs.collect();
        let mut moves = Vec::new();
        while let Some(run) = pending.pop() {
            if std::mem::replace(&mut seen[run], true) {
                continue;
            }
            match self.pieces[run] {
                Piece::Move(made) => moves.push(made),
                Piece::Then(a, b) | Piece::Or(a, b) => pending.extend([a, b]),
            }
        }
        moves
    }
}
