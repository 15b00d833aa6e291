/** A model folder whose weights are made up from their position, so that full-size shapes can be measured without a download. */
import type { ByteSource, FolderSource } from '../src/core/tensor-source.ts';

/** Half-precision noise of about the size of trained weights, the same at every read. */
function fakeBytes(offset: number, into: Uint8Array): void {
  for (let i = 0; i < into.length; i++) {
    const at = offset + i;
    // High bytes 0x24-0x25 and 0xa4-0xa5: values of 0.016 to 0.03 with either sign; low bytes from a multiplicative hash.
    const hash = Math.imul(at >>> 1, 0x9e3779b1) >>> 0;
    into[i] = at % 2 === 1 ? 0x24 | ((hash >>> 31) << 7) | ((hash >>> 30) & 1) : (hash >>> 16) & 0xff;
  }
}

/** A folder with config.json and model.safetensors (F16) of the given shapes; no tokenizer. */
export function fakeFolder(
  label: string,
  config: object,
  shapes: Readonly<Record<string, readonly number[]>>,
): FolderSource {
  const header: Record<string, object> = {};
  let end = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const start = end;
    end += 2 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: 'F16', shape, data_offsets: [start, end] };
  }
  const text = JSON.stringify(header);
  const json = new TextEncoder().encode(text.padEnd(Math.ceil(text.length / 8) * 8));
  const head = new Uint8Array(8 + json.length);
  new DataView(head.buffer).setBigUint64(0, BigInt(json.length), true);
  head.set(json, 8);
  const weights: ByteSource = {
    label: `${label}/model.safetensors`,
    byteLength: head.length + end,
    read: async (offset, into) => {
      for (let i = 0; i < into.length && offset + i < head.length; i++) into[i] = head[offset + i] ?? 0;
      const from = Math.max(0, head.length - offset);
      if (from < into.length) fakeBytes(offset + from - head.length, into.subarray(from));
    },
  };
  return {
    label,
    has: async path => path === 'config.json' || path === 'model.safetensors',
    text: async () => JSON.stringify(config),
    bytes: async () => weights,
  };
}

/** Config and tensors of google/flan-t5-small. */
export function flanT5Small(): { config: object; shapes: Record<string, number[]> } {
  const [width, inner, hidden, vocabulary, layers, heads] = [512, 384, 1024, 32128, 8, 6];
  const config = {
    architectures: ['T5ForConditionalGeneration'],
    model_type: 't5',
    d_model: width,
    d_ff: hidden,
    d_kv: 64,
    num_layers: layers,
    num_decoder_layers: layers,
    num_heads: heads,
    vocab_size: vocabulary,
    feed_forward_proj: 'gated-gelu',
    tie_word_embeddings: false,
    decoder_start_token_id: 0,
    eos_token_id: 1,
    pad_token_id: 0,
    relative_attention_num_buckets: 32,
    relative_attention_max_distance: 128,
  };
  const shapes: Record<string, number[]> = { 'shared.weight': [vocabulary, width] };
  for (const stack of ['encoder', 'decoder']) {
    const kinds = stack === 'encoder' ? ['SelfAttention'] : ['SelfAttention', 'EncDecAttention'];
    for (let block = 0; block < layers; block++) {
      const at = `${stack}.block.${block}.layer`;
      kinds.forEach((kind, i) => {
        for (const name of ['q', 'k', 'v']) shapes[`${at}.${i}.${kind}.${name}.weight`] = [inner, width];
        shapes[`${at}.${i}.${kind}.o.weight`] = [width, inner];
        shapes[`${at}.${i}.layer_norm.weight`] = [width];
      });
      const feed = `${at}.${kinds.length}`;
      for (const name of ['wi_0', 'wi_1']) shapes[`${feed}.DenseReluDense.${name}.weight`] = [hidden, width];
      shapes[`${feed}.DenseReluDense.wo.weight`] = [width, hidden];
      shapes[`${feed}.layer_norm.weight`] = [width];
    }
    shapes[`${stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight`] = [32, heads];
    shapes[`${stack}.final_layer_norm.weight`] = [width];
  }
  shapes['lm_head.weight'] = [vocabulary, width];
  return { config, shapes };
}
