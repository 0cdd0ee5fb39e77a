"""From one structured latent to what a person looks at: a coloured mesh and Gaussians."""
