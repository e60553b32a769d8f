# Writes autograd.json: the losses and their gradients by PyTorch's autograd, in f64.
# Run as `python autograd.py > autograd.json`; any torch 2.x.
import json
import sys

import torch

torch.manual_seed(7)
torch.set_default_dtype(torch.float64)
lengths, advantages = [5, 1, 9, 3], [1.3, -0.7, -1.1, 0.4]
def f32(t): return t.to(torch.float32).to(torch.float64)
seqs = []
for n, a in zip(lengths, advantages):
    logp = f32(-3 * torch.rand(n)).requires_grad_()
    old = f32(logp.detach() + 0.9 * torch.randn(n))
    ref = f32(logp.detach() + 0.7 * torch.randn(n))
    seqs.append((logp, old, ref, a))
def grpo(logp, old, ref, a, kl='k3'):
    rho = torch.exp(logp - old)
    loss = torch.maximum(-a * rho, -a * torch.clamp(rho, 1 - 0.2, 1 + 0.28))
    if a < 0: loss = torch.minimum(loss, torch.tensor(-a * 1.6))
    d = ref - logp
    k = torch.exp(d) - d - 1 if kl == 'k3' else -d
    return loss + 0.04 * k
def cispo(logp, old, a, cap=1.5):
    w = torch.exp(logp - old).clamp(max=cap).detach()
    return -w * a * logp
losses = [grpo(*s) for s in seqs]
n = sum(lengths)
reductions = {
  'token_mean': sum(l.sum() for l in losses) / n,
  'sequence_mean': sum(l.mean() for l in losses) / len(losses),
  'square_root_mean': sum(l.sum() * len(l) ** -0.5 for l in losses) / sum(len(l) ** 0.5 for l in losses),
  'fixed_length_16': sum(l.sum() for l in losses) / (len(losses) * 16),
}
out = {'completions': [dict(log_probs=s[0].tolist(), old=s[1].tolist(), reference=s[2].tolist(), advantage=s[3]) for s in seqs], 'grpo': {}}
for name, loss in reductions.items():
    g = torch.autograd.grad(loss, [s[0] for s in seqs], retain_graph=True)
    out['grpo'][name] = dict(loss=loss.item(), gradients=[x.tolist() for x in g])
loss = sum(grpo(*s, kl='k1').mean() for s in seqs) / len(seqs)
g = torch.autograd.grad(loss, [s[0] for s in seqs])
out['grpo_k1'] = dict(loss=loss.item(), gradients=[x.tolist() for x in g])
loss = sum(cispo(s[0], s[1], s[3]).sum() for s in seqs) / n
g = torch.autograd.grad(loss, [s[0] for s in seqs])
out['truncated'] = dict(gradients=[x.tolist() for x in g])
# preference pairs
ls = torch.nn.functional.logsigmoid
pairs = []
for nc, nr in [(4, 6), (2, 1), (7, 3)]:
    c = f32(-4 * torch.rand(nc)).requires_grad_(); r = f32(-4 * torch.rand(nr)).requires_grad_()
    rc = c.detach().sum() + 6 * torch.randn(()); rr = r.detach().sum() + 6 * torch.randn(())
    pairs.append((c, r, rc, rr))
delta, b = 0.13, 0.1
pref = qual = gen = 0
for c, r, rc, rr in pairs:
    hc, hr = b * (c.sum() - rc), b * (r.sum() - rr)
    pref = pref - ls(hc - hr) / len(pairs)
    qual = qual - (ls(hc - delta) + ls(-(hr - delta))) / len(pairs)
    gen = gen - c.mean() / len(pairs)
loss = 0.8 * pref + 0.2 * qual + gen
g = torch.autograd.grad(loss, [p for q in pairs for p in q[:2]])
out['mpo'] = dict(beta=b, shift=delta, preference=pref.item(), quality=qual.item(), generation=gen.item(), loss=loss.item(),
  pairs=[dict(chosen=c.tolist(), rejected=r.tolist(), reference_chosen=rc.item(), reference_rejected=rr.item(),
    chosen_gradient=g[2*i].tolist(), rejected_gradient=g[2*i+1].tolist()) for i,(c,r,rc,rr) in enumerate(pairs)])
json.dump(out, sys.stdout)
