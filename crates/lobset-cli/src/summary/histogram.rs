//! The shares of classes as a row of blocks.

/// Heights of a block, in eighths.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Width of the widest histogram. With more classes than that, neighbouring ones share a block.
const WIDTH: usize = 21;

/// The legend for the blocks.
pub const LEGEND: &str = "classes: ▄ an equal share, █ twice that or more, · no row";

/// The rows of each class, in blocks.
pub fn histogram(classes: &[u64]) -> String {
    let rows: u64 = classes.iter().sum();
    let blocks = classes.len().min(WIDTH);
    let block = |number: usize| {
        let range = number * classes.len() / blocks..(number + 1) * classes.len() / blocks;
        let fair = rows as f64 * range.len() as f64 / classes.len() as f64;
        let count: u64 = classes[range].iter().sum();
        if count == 0 { '·' } else { height(count as f64 / fair) }
    };
    (0..blocks).map(block).collect()
}

/// The block for a multiple of the equal share, which is half a block high.
fn height(share: f64) -> char {
    let eighths = 4.0 * share;
    let bounds = [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5];
    BLOCKS[bounds.iter().filter(|bound| eighths >= **bound).count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equal_share_is_half_a_block() {
        assert_eq!(histogram(&[10, 10, 10]), "▄▄▄");
        assert_eq!(histogram(&[0, 1, 100, 10, 39]), "·▁█▁▅");
        assert_eq!(histogram(&[0, 0]), "··");
        assert_eq!(histogram(&[]), "");
    }

    #[test]
    fn neighbouring_classes_share_a_block() {
        for classes in [22, 41, 42, 100, 255] {
            assert_eq!(histogram(&vec![1_000; classes]), "▄".repeat(WIDTH), "{classes}");
        }
        let mut classes = vec![0; 42];
        classes[0] = 1;
        assert_eq!(histogram(&classes), format!("█{}", "·".repeat(20)));
    }
}
