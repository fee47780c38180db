"""Generate handwritten digits of a chosen class: 8 x 8 images in 16 principal components, class as condition.

Usage: python conditional.py [training steps]
"""

import sys

import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from moefm import ConsistentMoEFM, MLPMixtureField, fit, sample

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000

images, labels = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
images = images.float()
centre = images.mean(0)
_, _, axes = torch.linalg.svd(images - centre, full_matrices=False)
latents = (images - centre) @ axes[:16].T
scale = latents.std(0).mean()  # one number for all axes: their ratios mean something
latents = latents / scale

torch.manual_seed(0)
field = MLPMixtureField(dim=16, num_experts=8, num_classes=10)
generator = torch.Generator().manual_seed(0)
options = {"steps": STEPS, "batch_size": 128, "generator": generator}
fit(field, latents, ConsistentMoEFM(sigma=0.5), cond=labels, coupling="ot", **options)  # transport within each class

judge = LogisticRegression(max_iter=2000).fit(latents.numpy(), labels.numpy())
wanted = torch.arange(10).repeat_interleave(50)
noise = torch.randn(500, 16, generator=generator)
for steps in (1, 2, 4):
    with torch.no_grad():
        out = sample(field, noise, steps, cond=wanted, generator=torch.Generator().manual_seed(1))
    right = (torch.as_tensor(judge.predict(out.z1.numpy())) == wanted).float().mean()
    print(f"{steps} step{'s' * (steps > 1)}: a classifier sees the wanted digit in {right:.0%} of the samples")

print("\nthree, four steps:")
pixels = (out.z1[150] * scale @ axes[:16] + centre).reshape(8, 8)
for row in pixels:
    print("".join(" .:-=+*#%@"[int(value.clamp(0, 15.9) / 1.6)] * 2 for value in row))
