//! The contents of the complete download of DAVIS-2017.

/// The 30 sequences of DAVIS-2017 val with their numbers of frames, 1999 in total.
pub(super) const VAL: [(&str, usize); 30] = [
    ("bike-packing", 69),
    ("blackswan", 50),
    ("bmx-trees", 80),
    ("breakdance", 84),
    ("camel", 90),
    ("car-roundabout", 75),
    ("car-shadow", 40),
    ("cows", 104),
    ("dance-twirl", 90),
    ("dog", 60),
    ("dogs-jump", 66),
    ("drift-chicane", 52),
    ("drift-straight", 50),
    ("goat", 90),
    ("gold-fish", 78),
    ("horsejump-high", 50),
    ("india", 81),
    ("judo", 34),
    ("kite-surf", 50),
    ("lab-coat", 47),
    ("libby", 49),
    ("loading", 50),
    ("mbike-trick", 79),
    ("motocross-jump", 40),
    ("paragliding-launch", 80),
    ("parkour", 100),
    ("pigs", 79),
    ("scooter-black", 43),
    ("shooting", 40),
    ("soapbox", 99),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn davis_has_1999_frames_in_name_order() {
        assert_eq!(VAL.iter().map(|(_, frames)| frames).sum::<usize>(), 1999);
        assert!(VAL.is_sorted());
    }
}
