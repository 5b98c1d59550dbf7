//! Strongly connected components: which nodes lie on common cycles, and what comes before what.

const UNSEEN: usize = usize::MAX;

/// Tarjan's state for one search.
struct Search {
    next: usize,
    order: Vec<usize>,
    low: Vec<usize>,
    on_stack: Vec<bool>,
    stack: Vec<usize>,
    found: Vec<Vec<usize>>,
}

/// The strongly connected components of a graph, each before those that lead to it (Tarjan's
/// algorithm, iterative and linear).
pub(crate) fn components(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut search = Search {
        next: 0,
        order: vec![UNSEEN; edges.len()],
        low: vec![0; edges.len()],
        on_stack: vec![false; edges.len()],
        stack: Vec::new(),
        found: Vec::new(),
    };
    for node in 0..edges.len() {
        if search.order[node] == UNSEEN {
            search.from(node, edges);
        }
    }
    search.found
}

impl Search {
    fn from(&mut self, root: usize, edges: &[Vec<usize>]) {
        self.enter(root);
        let mut path = vec![(root, 0)];
        while let Some((node, edge)) = path.last_mut() {
            let node = *node;
            if let Some(target) = edges[node].get(*edge) {
                *edge += 1;
                if self.order[*target] == UNSEEN {
                    self.enter(*target);
                    path.push((*target, 0));
                } else if self.on_stack[*target] {
                    self.low[node] = self.low[node].min(self.order[*target]);
                }
                continue;
            }
            path.pop();
            if let Some((parent, _)) = path.last() {
                self.low[*parent] = self.low[*parent].min(self.low[node]);
            }
            if self.low[node] == self.order[node] {
                self.leave(node);
            }
        }
    }

    fn enter(&mut self, node: usize) {
        self.order[node] = self.next;
        self.low[node] = self.next;
        self.next += 1;
        self.stack.push(node);
        self.on_stack[node] = true;
    }

    /// Takes the component whose root is `node` off the stack.
    fn leave(&mut self, node: usize) {
        let mut component = Vec::new();
        while let Some(member) = self.stack.pop() {
            self.on_stack[member] = false;
            component.push(member);
            if member == node {
                break;
            }
        }
        self.found.push(component);
    }
}
