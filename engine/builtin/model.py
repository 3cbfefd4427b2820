"""The network of builtin:weir-tiny: a Llama in plain torch, with the parameter names of Hugging Face.

RMSNorm before attention and before the SwiGLU feed-forward, grouped-query attention without biases, rotary positions in the
rotate-half convention, output weights tied to the embedding. Saved so that transformers' LlamaForCausalLM loads it.
"""
import json
import os

import torch
import torch.nn.functional as f
from torch import nn

CONTEXT_TOKENS = 1024


class Shape:
    """Sizes of the network. `context` is the longest sequence that serving may use."""

    def __init__(self, vocab, hidden=128, layers=4, heads=4, kv_heads=2, head_dim=32, inner=384, context=CONTEXT_TOKENS, theta=10000.0):
        self.vocab, self.hidden, self.layers, self.heads, self.kv_heads = vocab, hidden, layers, heads, kv_heads
        self.head_dim, self.inner, self.context, self.theta, self.epsilon = head_dim, inner, context, theta, 1e-6

    def hf_config(self, eos, pad):
        return {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": self.vocab, "hidden_size": self.hidden,
            "intermediate_size": self.inner, "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads, "head_dim": self.head_dim, "hidden_act": "silu", "rms_norm_eps": self.epsilon,
            "rope_theta": self.theta, "rope_scaling": None, "max_position_embeddings": self.context, "tie_word_embeddings": True,
            "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0, "initializer_range": 0.02, "use_cache": True,
            "bos_token_id": None, "eos_token_id": eos, "pad_token_id": pad, "torch_dtype": "float16",
        }


class Norm(nn.Module):
    def __init__(self, size, epsilon):
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(torch.ones(size)), epsilon

    def forward(self, x):
        return f.rms_norm(x, x.shape[-1:], self.weight, self.epsilon)


class Attention(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.q_proj = nn.Linear(s.hidden, s.heads * s.head_dim, bias=False)
        self.k_proj = nn.Linear(s.hidden, s.kv_heads * s.head_dim, bias=False)
        self.v_proj = nn.Linear(s.hidden, s.kv_heads * s.head_dim, bias=False)
        self.o_proj = nn.Linear(s.heads * s.head_dim, s.hidden, bias=False)

    def forward(self, x, cos, sin):
        # x: [rows, tokens, hidden]; cos, sin: [tokens, head_dim]
        rows, tokens, _ = x.shape
        heads, kv, half = self.s.heads, self.s.kv_heads, self.s.head_dim // 2
        qkv = f.linear(x, torch.cat((self.q_proj.weight, self.k_proj.weight, self.v_proj.weight)))
        qkv = qkv.view(rows, tokens, -1, self.s.head_dim).transpose(1, 2)
        turned, v = qkv[:, :heads + kv], qkv[:, heads + kv:]
        turned = turned * cos + torch.cat((-turned[..., half:], turned[..., :half]), -1) * sin
        q, k = turned[:, :heads], turned[:, heads:]
        group = heads // kv
        if group > 1:
            k, v = (t.repeat_interleave(group, 1) for t in (k, v))
        y = f.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(rows, tokens, -1))


class Mlp(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.gate_proj, self.up_proj = (nn.Linear(s.hidden, s.inner, bias=False) for _ in range(2))
        self.down_proj = nn.Linear(s.inner, s.hidden, bias=False)

    def forward(self, x):
        gate, up = f.linear(x, torch.cat((self.gate_proj.weight, self.up_proj.weight))).chunk(2, -1)
        return self.down_proj(f.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = (Norm(s.hidden, s.epsilon) for _ in range(2))
        self.self_attn, self.mlp = Attention(s), Mlp(s)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.embed_tokens = nn.Embedding(s.vocab, s.hidden)
        self.layers = nn.ModuleList(Layer(s) for _ in range(s.layers))
        self.norm = Norm(s.hidden, s.epsilon)


class Network(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s, self.model = s, Body(s)
        angle = torch.outer(torch.arange(s.context).float(), s.theta ** (-torch.arange(0, s.head_dim, 2).float() / s.head_dim))
        self.register_buffer("cos", torch.cat((angle, angle), -1).cos(), persistent=False)
        self.register_buffer("sin", torch.cat((angle, angle), -1).sin(), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                # Residual writers start small so that depth does not inflate the first activations (GPT-2, section 2.3).
                wide = 0.02 if "embed" in name else p.shape[1] ** -0.5
                nn.init.normal_(p, std=wide * ((2 * s.layers) ** -0.5 if "o_proj" in name or "down_proj" in name else 1))

    def hidden(self, ids, embedding=None):
        """ids: [rows, tokens] -> final hidden states [rows, tokens, hidden]. `embedding` stands in for the network's own."""
        x = f.embedding(ids, self.model.embed_tokens.weight if embedding is None else embedding)
        cos, sin = self.cos[:ids.shape[1]], self.sin[:ids.shape[1]]
        for layer in self.model.layers:
            x = layer(x, cos, sin)
        return self.model.norm(x)

    def logits(self, hidden):
        return hidden @ self.model.embed_tokens.weight.T


def save(folder, network, eos, pad):
    """Writes config.json and model.safetensors (float16). The tied output matrix is not stored twice."""
    from safetensors.torch import save_file
    tensors = {name: p.detach().to(torch.float16).contiguous() for name, p in network.named_parameters()}
    save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(folder, "config.json"), "w") as out:
        json.dump(network.s.hf_config(eos, pad), out, indent=2)
        out.write("\n")


def load(folder):
    from safetensors.torch import load_file
    with open(os.path.join(folder, "config.json")) as source:
        c = json.load(source)
    s = Shape(c["vocab_size"], c["hidden_size"], c["num_hidden_layers"], c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"],
              c["intermediate_size"], c["max_position_embeddings"], c["rope_theta"])
    network = Network(s)
    network.load_state_dict({k: v.float() for k, v in load_file(os.path.join(folder, "model.safetensors")).items()})
    return network
