//! Tests that each weight of a layer is trained alone if the input is not tracked.

use candle_core::{Result, Tensor};
use cropmae_kernels::{
    Compute, Norm, Policy, attention_block, backward, layer_norm, linear, mlp, mlp_block,
    residual_layer_norm,
};

use crate::support::{on_every_backend, tensor, var};

#[test]
fn weights_of_a_first_layer_train_without_a_tracked_input() {
    on_every_backend(|_| train_a_first_layer());
}

fn train_a_first_layer() {
    let x = tensor(&[1, 3, 8], 1);
    let constant = |shape: &[usize]| tensor(shape, 2);
    let (square, row) = (constant(&[8, 8]), constant(&[8]));
    let (packed, packed_row) = (constant(&[24, 8]), constant(&[24]));
    let norm = Norm {
        weight: &row,
        bias: &row,
        eps: 1e-6,
    };
    type Layer<'a> = (&'a [usize], Box<dyn Fn(&Tensor) -> Result<Tensor> + 'a>);
    let layers: Vec<Layer> = vec![
        (
            &[24, 8],
            Box::new(|w| {
                attention_block(
                    &x,
                    norm,
                    (w, &packed_row),
                    (&square, &row),
                    2,
                    Policy::default(),
                )
            }),
        ),
        (
            &[8],
            Box::new(|b| {
                let norm = Norm { bias: b, ..norm };
                attention_block(
                    &x,
                    norm,
                    (&packed, &packed_row),
                    (&square, &row),
                    2,
                    Policy::default(),
                )
            }),
        ),
        (
            &[8],
            Box::new(|b| mlp_block(&x, norm, (&square, b), (&square, &row), Policy::default())),
        ),
        (&[8, 8], Box::new(|w| linear(&x, w, &row, Compute::F32))),
        (&[8], Box::new(|b| linear(&x, &square, b, Compute::F32))),
        (&[8], Box::new(|w| layer_norm(&x, w, &row, 1e-6))),
        (&[8], Box::new(|b| layer_norm(&x, &row, b, 1e-6))),
        (
            &[8],
            Box::new(|w| residual_layer_norm(&x, &x, w, &row, 1e-6, None)),
        ),
        (
            &[8],
            Box::new(|b| residual_layer_norm(&x, &x, &row, b, 1e-6, None)),
        ),
        (
            &[8, 8],
            Box::new(|w| mlp(&x, (w, &row), (&square, &row), None, Policy::default())),
        ),
        (
            &[8],
            Box::new(|b| mlp(&x, (&square, b), (&square, &row), None, Policy::default())),
        ),
        (
            &[8, 8],
            Box::new(|w| mlp(&x, (&square, &row), (w, &row), None, Policy::default())),
        ),
        (
            &[8],
            Box::new(|b| mlp(&x, (&square, &row), (&square, b), None, Policy::default())),
        ),
    ];
    for (i, (shape, layer)) in layers.iter().enumerate() {
        let only_var = var(shape, 3);
        let y = layer(&only_var).unwrap();
        // The output is squared, because the mean of a normalized row has no slope.
        let store = backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap();
        let grad = store
            .get(&only_var)
            .unwrap_or_else(|| panic!("layer {i} lost its gradient"));
        assert!(
            cropmae_kernels::grad_norm(&[grad]).unwrap().read().unwrap() > 1e-3,
            "layer {i}"
        );
        assert_eq!(
            store.get_ids().count(),
            1,
            "layer {i} has gradients of constants"
        );
    }
}
