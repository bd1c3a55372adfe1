"""An audit from Python, on the digits that ship with gencheck: python docs/from_python.py."""

import torch
from torch import nn

import gencheck
from gencheck.load.digits import load_digits

images, labels = load_digits()
x, y = torch.from_numpy(images).flatten(1), torch.from_numpy(labels)

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
for _ in range(60):
    optimiser.zero_grad()
    nn.functional.mse_loss(model(x[:300]), nn.functional.one_hot(y[:300], 10).float()).backward()
    optimiser.step()

# Does what it was trained on look, to this model, like what it has not seen?
audit = gencheck.audit_module(
    model,
    (x[:300], y[:300]),
    (x[300:500], y[300:500]),
    options=gencheck.AuditOptions(permutations=200),
)

print(audit)  # one line; in a notebook, `audit` alone shows the whole report
print(audit.report())  # the report of the command line
document = audit.to_dict()  # what --json prints
print(document["gap"]["reference_error"], audit.gap.reference_error)
for item in audit.attribution[:3]:  # audit.to_pandas() has all of them as a table
    print(item.set, item.index, item.label, f"{item.share:.1%}")
