/**
 * The names of LoRA files: which module a tensor belongs to and which part of the product it is. Writers have many ways to say
 * it (diffusers old and new, PEFT, kohya's scripts, LyCORIS); what stands in the file is brought to one form here. Which module
 * of a network that is, is said in src/models/stable-diffusion/lora-modules.ts.
 */

import { InputError, WeightsError } from '../core/errors.ts';

/** A network that an adapter changes, as diffusers calls it. */
export type AdaptedNetwork = 'unet' | 'text_encoder';

/** Keys of one module. W becomes W + scale * alpha / rank * up * down. */
export interface LoraKeys {
  /** Undefined where the file does not say. */
  readonly network: AdaptedNetwork | undefined;
  /** As the file has it, without prefixes: dots, or underscores for kohya's files. */
  readonly module: string;
  /** Key of A: [rank, in], or [rank, in, kh, kw] of a convolution. */
  readonly down?: string;
  /** Key of B: [out, rank], or [out, rank, 1, 1]. */
  readonly up?: string;
  /** Key of the middle of a product of three, LyCORIS' Tucker form: [rank, rank, kh, kw]. */
  readonly mid?: string;
  /** Key of the scalar alpha. */
  readonly alpha?: string;
}

type Part = 'down' | 'up' | 'mid' | 'alpha';

/** Behind the module's name; the first that matches counts. */
const ENDINGS: readonly (readonly [RegExp, Part])[] = [
  [/\.lora_A(\.\w+)?\.weight$/, 'down'],
  [/\.lora_B(\.\w+)?\.weight$/, 'up'],
  [/\.lora_(linear_layer\.)?down\.weight$/, 'down'],
  [/\.lora_(linear_layer\.)?up\.weight$/, 'up'],
  [/\.lora_mid\.weight$/, 'mid'],
  [/[._]lora\.down\.weight$/, 'down'],
  [/[._]lora\.up\.weight$/, 'up'],
  [/([._]lora)?\.alpha$/, 'alpha'],
];

/** In front of the module's name, taken off one after the other. */
const PREFIXES: readonly (readonly [RegExp, AdaptedNetwork | undefined])[] = [
  [/^(unet|lora_unet|(model\.)?diffusion_model)[._]+/, 'unet'],
  [/^(text_encoder|lora_te1?|text_encoders\.clip_l\.transformer|clip_l\.transformer)[._]/, 'text_encoder'],
  [/^(base_model\.model\.|lycoris_)/, undefined],
];

/** Other ways to change a weight, by a part of their keys. */
const OTHER_KINDS: readonly (readonly [RegExp, string])[] = [
  [/\.dora_scale$|lora_magnitude_vector/, 'DoRA (weights with a magnitude of their own)'],
  [/\.hada_[tw]/, 'LoHa (Hadamard products)'],
  [/\.lokr_[tw]/, 'LoKr (Kronecker products)'],
  [/\.on_input$|\.ia3_/, '(IA)3 (learned scales)'],
  [/\.boft_|\.oft_/, 'OFT (orthogonal transforms)'],
  [/\.(a|b|bm)[12]\.weight$/, 'GLoRA (generalised products)'],
  [/\.vera_lambda/, 'VeRA (shared random products)'],
  [/\.lora_embedding_[AB]/, 'LoRA of a token table'],
  [/\.diff(_b)?$|\.[wb]_norm$/, 'whole differences of weights, norms and biases'],
  [/\.lora_?[A-Za-z._]*\.bias$/, 'LoRA with biases'],
];

/** Other models, by a part of their keys. */
const OTHER_MODELS: readonly (readonly [RegExp, string])[] = [
  [/^(lora_te2_|text_encoder_2\.)|add_embedding|label_emb/, 'Stable Diffusion XL'],
  [/double_blocks|single_blocks|single_transformer_blocks/, 'Flux'],
  [/joint_blocks|^(lora_te3_|text_encoder_3\.)/, 'Stable Diffusion 3'],
  [/^(transformer|lora_transformer)[._]/, 'a diffusion transformer (Flux, Stable Diffusion 3 and the like)'],
  [/^(lora_prior_|prior\.)/, 'Stable Cascade'],
];

/** What a file says, by module in the order of the file. */
export interface LoraFileKeys {
  /** One entry a module. */
  readonly modules: readonly LoraKeys[];
  /** Keys that are no part of a product. */
  readonly unknown: readonly string[];
}

/**
 * Sorts the keys of a file by module.
 * @param names all keys
 * @param path the file, for messages
 * @throws InputError naming an adapter of another kind or for another model; WeightsError for a file without LoRA
 */
export function readLoraKeys(op: string, names: Iterable<string>, path: string): LoraFileKeys {
  const modules = new Map<string, LoraKeys>();
  const unknown: string[] = [];
  const all = [...names];
  refuseOthers(op, all, path);
  for (const name of all) {
    const [ending, part] = ENDINGS.find(([pattern]) => pattern.test(name)) ?? [];
    if (!ending || !part) {
      unknown.push(name);
      continue;
    }
    const { network, module } = withoutPrefixes(name.replace(ending, '').replace('.processor.', '.'));
    const key = `${network ?? ''} ${module}`;
    modules.set(key, { ...(modules.get(key) ?? { network, module }), [part]: name });
  }
  if ([...modules.values()].some(keys => keys.down && keys.up)) return { modules: [...modules.values()], unknown };
  throw new WeightsError({
    op,
    problem: 'the file holds no LoRA',
    expected: 'pairs such as *.lora_A.weight and *.lora_B.weight, or *.lora_down.weight and *.lora_up.weight',
    received: all.slice(0, 4).join(', ') || 'no tensors',
    path,
    fix: remedy(all),
  });
}

/** Which network, and its module's name. */
function withoutPrefixes(name: string): { network: AdaptedNetwork | undefined; module: string } {
  let [network, module]: [AdaptedNetwork | undefined, string] = [undefined, name];
  for (;;) {
    const found = PREFIXES.find(([prefix]) => prefix.test(module));
    if (!found) return { network, module };
    module = module.replace(found[0], '');
    network ??= found[1];
  }
}

function refuseOthers(op: string, names: readonly string[], path: string): void {
  for (const [pattern, model] of OTHER_MODELS) {
    const name = names.find(one => pattern.test(one));
    if (name === undefined) continue;
    throw new InputError({
      op,
      problem: `the adapter was made for ${model}`,
      expected: 'one for Stable Diffusion 1.x or 2.x',
      received: name,
      path,
      fix: 'An adapter fits only the family of models that it was trained on; look for one of this family.',
    });
  }
  for (const [pattern, kind] of OTHER_KINDS) {
    const name = names.find(one => pattern.test(one));
    if (name === undefined) continue;
    throw new InputError({
      op,
      problem: `the adapter is ${kind}, which is not built`,
      expected: 'LoRA: low-rank products of linear layers and convolutions',
      received: name,
      path,
      fix: 'Merge it into the checkpoint with the program that it comes from, and open the merged model.',
    });
  }
}

function remedy(names: readonly string[]): string {
  if (names.some(name => /^(model\.diffusion_model|first_stage_model|cond_stage_model)\./.test(name))) {
    return 'This is a whole model, not an adapter: open it as the model itself.';
  }
  if (
    names.length > 0 &&
    names.length <= 4 &&
    names.every(name => !name.includes('.') || name.startsWith('string_to_param'))
  ) {
    return 'This looks like a textual inversion: load it with loadTextualInversion.';
  }
  return 'Name the file that the training script wrote, such as pytorch_lora_weights.safetensors.';
}
