//! Order among containers: what others need comes first. Pure.

/// A stable order in which every index comes after those it needs, where no circle forbids it.
/// `needs[i]` are the indexes that `i` needs; unknown and own indexes are ignored.
pub(crate) fn order(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut done = vec![false; needs.len()];
    let mut order = Vec::with_capacity(needs.len());
    while order.len() < needs.len() {
        let ready = |i: &usize| !done[*i] && needs[*i].iter().all(|&n| n == *i || n >= done.len() || done[n]);
        // In a circle the first one left goes first: Docker itself cannot have made it that way.
        let next = (0..needs.len()).find(ready).or_else(|| done.iter().position(|done| !done));
        let Some(next) = next else { break };
        done[next] = true;
        order.push(next);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_come_first_and_the_rest_stays() {
        assert_eq!(order(&[vec![], vec![], vec![]]), [0, 1, 2]);
        assert_eq!(order(&[vec![2], vec![], vec![1]]), [1, 2, 0]);
        assert_eq!(order(&[vec![1], vec![0], vec![9, 2]]), [2, 0, 1]);
    }
}
