/**
 * T5 and Flan-T5: text to text.
 *
 * Raffel et al. 2019, Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer,
 * https://arxiv.org/abs/1910.10683; Shazeer 2020, https://arxiv.org/abs/2002.05202 (gated feed-forward);
 * Chung et al. 2022, https://arxiv.org/abs/2210.11416 (Flan).
 * Reference: transformers 4.57.6, models/t5/modeling_t5.py.
 *
 * Shapes through Flan-T5 large:
 *
 *   ids, decoder ids        [N, S], [N, L]
 *   embeddings              [., ., 1024]     no positions, no factor; f32 as the whole residual stream
 *   encoder blocks 0..23    [N, S, 1024]     16 heads of 64; gated feed-forward width 2816
 *   decoder blocks 0..23    [N, L, 1024]     the same, and attention to the encoder's rows
 *   lm_head                 [N, L, 32128]    logits, always f32
 *
 * Positions enter as a bias of the scores by distance, one table a stack.
 */
import { InputError } from '../../core/errors.ts';
import type { KeyValueCache, KeyValues } from '../../nn/attention.ts';
import { Embedding } from '../../nn/embedding.ts';
import { Module } from '../../nn/module.ts';
import { RMSNorm } from '../../nn/norm.ts';
import type { Weights } from '../../nn/weights.ts';
import { linear } from '../../tensor/ops/contraction.ts';
import { lastRows } from '../../tensor/ops/copy.ts';
import type { Parameter } from '../../tensor/parameter.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { counted } from '../counted.ts';
import { T5DecoderBlock, T5EncoderBlock, T5PositionBias } from './blocks.ts';
import type { T5Config } from './config.ts';

/** Ids to rows that the decoder looks at. */
export class T5Encoder extends Module {
  readonly embedding: Embedding;
  readonly positionBias: T5PositionBias;
  readonly blocks: readonly T5EncoderBlock[];
  readonly finalNorm: RMSNorm;

  constructor(w: Weights, c: T5Config, embedding: Embedding) {
    super(w);
    this.embedding = embedding;
    this.positionBias = new T5PositionBias(biasOf(w), c, true);
    this.blocks = counted(c.encoderLayers, i => new T5EncoderBlock(w.at('block').at(i), c));
    this.finalNorm = new RMSNorm(w.at('final_layer_norm'), { width: c.width, eps: c.normEps });
  }

  /**
   * @param ids uint32 [N, S]
   * @param keyMask f32 [N, S]: 0 for tokens, a large negative number for padding; default no padding
   * @returns [N, S, D] behind the final norm
   */
  forward(ids: Tensor, keyMask?: Tensor): Tensor {
    const masks = { bias: this.positionBias.record(ids.graph, ids.dim(1)), keyMask };
    let h = this.embedding.forward(ids, 'float32');
    for (const block of this.blocks) h = block.forward(h, masks);
    return this.finalNorm.forward(h);
  }
}

/** What the decoder looks at besides its own ids. */
export interface T5Context {
  /** Of every block, from `context`; their batch divides that of the ids, whose neighbours share one entry. */
  readonly keyValues: readonly KeyValues[];
  /** f32 [N, S] for the batch of the ids: 0 for tokens, a large negative number for padding. */
  readonly keyMask?: Tensor | undefined;
}

/** Where the ids of a step stand. */
export interface T5Step {
  /** Of every block, [N, capacity, cacheWidth]; the step's keys and values join them. */
  readonly caches: readonly Tensor[];
  /** uint32 [1, 2]: keys after the step, position of its first id. */
  readonly lengths: Tensor;
}

/** Ids and the encoder's rows to logits of the next id. */
export class T5Decoder extends Module {
  readonly embedding: Embedding;
  readonly positionBias: T5PositionBias;
  readonly blocks: readonly T5DecoderBlock[];
  readonly finalNorm: RMSNorm;
  readonly head: Parameter;
  readonly config: T5Config;

  constructor(w: Weights, c: T5Config, embedding: Embedding, head: Parameter) {
    super(w);
    this.config = c;
    this.embedding = embedding;
    this.positionBias = new T5PositionBias(biasOf(w), c, false);
    this.blocks = counted(c.decoderLayers, i => new T5DecoderBlock(w.at('block').at(i), c));
    this.finalNorm = new RMSNorm(w.at('final_layer_norm'), { width: c.width, eps: c.normEps });
    this.head = head;
  }

  /** Channels of a block's cache. */
  get cacheWidth(): number {
    return this.blocks[0]?.attention.attention.cacheWidth ?? 0;
  }

  /** encoded [N, S, D] -> the keys and values of every block, computed once for all steps */
  context(encoded: Tensor): KeyValues[] {
    return this.blocks.map(block => block.crossAttention.attention.keyValues(encoded));
  }

  /**
   * Logits of whole rows of ids; an id sees itself and what stands before it.
   * @param ids uint32 [N, L]
   * @returns f32 [N, L, V]
   * @throws InputError for another model's context
   */
  forward(ids: Tensor, context: T5Context): Tensor {
    const own = { causal: true, bias: this.positionBias.record(ids.graph, ids.dim(1)) };
    const cross = { keyMask: context.keyMask };
    let h = this.#embed(ids, context);
    for (const [i, block] of this.blocks.entries()) h = block.forward(h, context.keyValues[i] as KeyValues, own, cross);
    return this.#logits(h);
  }

  /**
   * Logits behind the last of some ids that follow those in the caches.
   * @param ids uint32 [N, L], positions lengths[1] and following
   * @returns f32 [N, 1, V]
   * @throws InputError for another model's context or caches
   */
  step(ids: Tensor, context: T5Context, { caches, lengths }: T5Step): Tensor {
    matching('caches', caches, this.blocks);
    const own = { bias: this.positionBias.record(ids.graph, caches[0]?.dim(1) ?? 1) };
    const cross = { keyMask: context.keyMask };
    let h = this.#embed(ids, context);
    for (const [i, block] of this.blocks.entries()) {
      const cache: KeyValueCache = { tensor: caches[i] as Tensor, lengths };
      h = block.forward(h, context.keyValues[i] as KeyValues, own, cross, cache);
    }
    return this.#logits(lastRows(h));
  }

  #embed(ids: Tensor, { keyValues }: T5Context): Tensor {
    matching('context', keyValues, this.blocks);
    return this.embedding.forward(ids, 'float32');
  }

  #logits(h: Tensor): Tensor {
    const { tied, width, vocabulary } = this.config;
    const normed = this.finalNorm.forward(h, 'float32');
    return linear(tied ? normed.scale(width ** -0.5) : normed, vocabulary, { weight: this.head }, 'float32');
  }
}

/**
 * Encoder and decoder on one embedding table.
 * @see transformers T5ForConditionalGeneration
 */
export class T5Model extends Module {
  readonly config: T5Config;
  readonly encoder: T5Encoder;
  readonly decoder: T5Decoder;

  constructor(w: Weights, config: T5Config) {
    super(w);
    this.config = config;
    // One table by three names, of which a file holds any.
    const aliases = ['shared', 'encoder.embed_tokens', 'decoder.embed_tokens'];
    const table = w.at(aliases.find(name => w.has(`${name}.weight`)) ?? 'shared');
    w.ignore(/^(shared|(en|de)coder\.embed_tokens)\.weight$/);
    if (config.tied) w.ignore(/^lm_head\.weight$/); // writers may store the table once more
    const { vocabulary: outputs, width: inputs } = config;
    const from = config.tied ? table : w.at('lm_head');
    const head = from.forRows(1, 64).forInputs('float32').matrix([{ from, outputs, inputs }]);
    const embedding = new Embedding(table, { count: outputs, width: inputs, tied: config.tied ? head : undefined });
    this.encoder = new T5Encoder(w.at('encoder'), config, embedding);
    this.decoder = new T5Decoder(w.at('decoder').forRows(1, 64), config, embedding, head);
  }
}

/** The first block holds the table of its stack. */
function biasOf(stack: Weights): Weights {
  return stack.at('block.0.layer.0.SelfAttention.relative_attention_bias');
}

function matching(name: string, given: readonly unknown[], blocks: readonly unknown[]): void {
  if (given.length === blocks.length) return;
  const [expected, received] = [blocks.length, given.length];
  const fix = 'Make it for the same model.';
  throw new InputError({ op: 't5', problem: `${name} of another model`, expected, received, fix });
}
