use super::*;

#[test]
fn values_come_out_in_order() {
    for capacity in 1..40 {
        let (producer, consumer) = queue_with(Options {
            segment_capacity_first: capacity,
            segment_capacity_max: capacity * 4,
        })
        .unwrap();
        for value in 0..1000 {
            producer.try_push(value).unwrap();
        }
        assert_eq!(producer.len(), 1000);
        for value in 0..1000 {
            assert_eq!(consumer.try_pop(), Ok(value));
        }
        assert_eq!(consumer.try_pop(), Err(PopError::Empty));
    }
}
