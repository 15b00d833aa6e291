/**
 * The modules of a network by every name that LoRA files have for them: diffusers' own, with dots or, as kohya's scripts
 * write them, with underscores; those of the original code (input_blocks, middle_block, output_blocks); those of the first
 * diffusers files (to_q of the text encoder).
 * Reference: diffusers 0.34.0, loaders/lora_conversion_utils.py; CompVis' ldm/modules/diffusionmodules/openaimodel.py.
 */

/** Finds modules of one network by the names of a file. */
export interface LoraModules {
  /** @returns the key of the module's weight in the checkpoint; undefined where the network has no such module */
  weightOf(name: string): string | undefined;
}

const WEIGHT = '.weight';

/**
 * All modules of a UNet whose weights a product can change.
 * @param keys of its checkpoint, in diffusers' names
 */
export function unetLoraModules(keys: Iterable<string>): LoraModules {
  const modules = modulesOf(keys);
  const original = originalNames(modules);
  return findBy(modules, module => [
    module,
    original.get(module) ?? module,
    // The oldest files speak of the list of projection and dropout.
    module.replace(/\.to_out\.0$/, '.to_out'),
  ]);
}

/**
 * All modules of a text encoder whose weights a product can change.
 * @param keys of its checkpoint, in transformers' names, with text_model or without
 */
export function textEncoderLoraModules(keys: Iterable<string>): LoraModules {
  return findBy(modulesOf(keys), module => {
    const plain = module.replace(/^text_model\./, '');
    const oldest = plain.replace(/\.(q|k|v|out)_proj$/, '.to_$1');
    return [plain, `text_model.${plain}`, oldest, `text_model.${oldest}`];
  });
}

function modulesOf(keys: Iterable<string>): string[] {
  return [...keys].filter(key => key.endsWith(WEIGHT)).map(key => key.slice(0, -WEIGHT.length));
}

function findBy(modules: readonly string[], namesOf: (module: string) => readonly string[]): LoraModules {
  const known = new Map<string, string>();
  for (const module of modules) {
    for (const name of namesOf(module)) known.set(flat(name), `${module}${WEIGHT}`);
  }
  return { weightOf: name => known.get(flat(name)) };
}

/** One form for dots and underscores: no two modules differ in these alone. */
function flat(name: string): string {
  return name.replaceAll('.', '_');
}

const IN_RESNETS: Readonly<Record<string, string>> = {
  norm1: 'in_layers.0',
  conv1: 'in_layers.2',
  time_emb_proj: 'emb_layers.1',
  norm2: 'out_layers.0',
  conv2: 'out_layers.3',
  conv_shortcut: 'skip_connection',
};

const OUTSIDE: Readonly<Record<string, string>> = {
  'time_embedding.linear_1': 'time_embed.0',
  'time_embedding.linear_2': 'time_embed.2',
  conv_in: 'input_blocks.0.0',
  conv_norm_out: 'out.0',
  conv_out: 'out.2',
};

/** The original code's names by diffusers' names. It numbers the blocks of all resolutions in one row. */
function originalNames(modules: readonly string[]): Map<string, string> {
  const names = new Map<string, string>();
  const down = rowOf(modules, 'down_blocks');
  const up = rowOf(modules, 'up_blocks');
  for (const module of modules) {
    const name = OUTSIDE[module] ?? originalName(module, down, up);
    if (name !== undefined) names.set(module, name);
  }
  return names;
}

/** The blocks of one direction: where each begins in the original's row. */
interface Row {
  /** Number of the block's first residual block, blocks of halving counted. */
  readonly first: readonly number[];
  /** Residual blocks of each. */
  readonly resnets: readonly number[];
  /** Whether each has attention, which moves the enlarging behind it. */
  readonly attention: readonly boolean[];
}

function rowOf(modules: readonly string[], direction: 'down_blocks' | 'up_blocks'): Row {
  const row = { first: [] as number[], resnets: [] as number[], attention: [] as boolean[] };
  const down = direction === 'down_blocks';
  let next = down ? 1 : 0; // before them the original has its first convolution
  for (let block = 0; ; block++) {
    const prefix = `${direction}.${block}.`;
    const own = modules.filter(module => module.startsWith(prefix));
    if (own.length === 0) return row;
    const resnets = new Set(own.flatMap(module => /^\w+\.\d+\.resnets\.(\d+)\./.exec(module)?.[1] ?? [])).size;
    row.first.push(next);
    row.resnets.push(resnets);
    row.attention.push(own.some(module => module.startsWith(`${prefix}attentions.`)));
    next += resnets + (down && own.some(module => module.startsWith(`${prefix}downsamplers.`)) ? 1 : 0);
  }
}

function originalName(module: string, down: Row, up: Row): string | undefined {
  const [, where, b = '', kind = '', l = '', rest = ''] =
    /^(down_blocks|mid_block|up_blocks)(?:\.(\d+))?\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)$/.exec(
      module,
    ) ?? [];
  if (where === undefined) return undefined;
  const [block, layer] = [Number(b), Number(l)];
  const inside = kind === 'resnets' ? (IN_RESNETS[rest] ?? rest) : rest;
  if (where === 'mid_block') return `middle_block.${kind === 'attentions' ? 1 : 2 * layer}.${inside}`;
  const row = where === 'down_blocks' ? down : up;
  const name = where === 'down_blocks' ? 'input_blocks' : 'output_blocks';
  const [first = 0, resnets = 0] = [row.first[block], row.resnets[block]];
  if (kind === 'downsamplers') return `${name}.${first + resnets}.0.op`;
  if (kind === 'upsamplers') return `${name}.${first + resnets - 1}.${row.attention[block] ? 2 : 1}.conv`;
  return `${name}.${first + layer}.${kind === 'resnets' ? 0 : 1}.${inside}`;
}
