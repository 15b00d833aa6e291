/**
 * Every argument of DiffEdit, once: which methods take it, its default, what it may be, and its option on the command
 * line. The tables of docs/parity.md are tested against it; what an argument means stands in types.ts, what a check's name
 * means in argument-checks.ts.
 */
import { checkNames } from '../../core/known-names.ts';
import { type CheckName, checkValue, type Limits } from '../diffusion/argument-checks.ts';
import type { EditArgs, EncodePromptOptions, GenerateMaskArgs, InvertArgs, RunArgs } from './types.ts';

/** Methods and the types of their arguments. */
export interface ArgumentsOf {
  readonly encodePrompt: EncodePromptOptions;
  readonly generateMask: GenerateMaskArgs;
  readonly invert: InvertArgs;
  readonly edit: EditArgs;
  readonly run: RunArgs;
}

/** A method of the pipeline. */
export type Method = keyof ArgumentsOf;

/** A heading of the command line's help. */
export type OptionGroup = 'Prompts' | 'Mask' | 'Inversion' | 'Steps and guidance' | 'Edit' | 'Model and device';

/** What is known of an argument. */
export interface Argument {
  /** The methods that take it, by their names. */
  readonly in: string;
  /** Of a value that is left out. */
  readonly default?: number | string | boolean;
  /** What it may be. */
  readonly check?: CheckName;
  /** Checked before the prompts, as diffusers does. */
  readonly first?: true;
  /** On the command line: its group, the value's placeholder ('' for a switch), and a line of help. */
  readonly option?: readonly [group: OptionGroup, value: string, help: string];
  /** On the command line: another name in front of its own. */
  readonly alias?: string;
  /** On the command line: a switch of this name, and the value that it stands for. */
  readonly switch?: readonly [flag: string, value: string];
  /** What to write in a method that does not take it. */
  readonly instead?: string;
}

/** In the order in which diffusers checks them, and in which the command line lists them. */
export const ARGUMENTS = {
  image: { in: 'generateMask invert run' },
  sourcePrompt: {
    in: 'generateMask run',
    option: ['Prompts', '<text>', 'what the picture shows'],
    alias: '--source',
  },
  targetPrompt: {
    in: 'generateMask run',
    option: ['Prompts', '<text>', 'what it shall show'],
    alias: '--target',
  },
  sourceNegativePrompt: {
    in: 'generateMask run',
    option: ['Prompts', '<text>', 'negative of the source prompt, for the mask'],
  },
  targetNegativePrompt: {
    in: 'generateMask run',
    option: ['Prompts', '<text>', 'negative of the target prompt, for the mask'],
  },
  sourcePromptEmbeds: { in: 'generateMask run' },
  targetPromptEmbeds: { in: 'generateMask run' },
  sourceNegativePromptEmbeds: { in: 'generateMask run' },
  targetNegativePromptEmbeds: { in: 'generateMask run' },
  prompt: { in: 'invert edit', instead: 'There are sourcePrompt and targetPrompt.' },
  promptEmbeds: { in: 'invert edit', instead: 'There are sourcePromptEmbeds and targetPromptEmbeds.' },
  numMapsPerMask: {
    in: 'generateMask run',
    default: 10,
    check: 'count',
    option: ['Mask', '<n>', 'noisy copies that are compared'],
  },
  maskEncodeStrength: {
    in: 'generateMask run',
    default: 0.5,
    check: 'strength',
    first: true,
    option: ['Mask', '<x>', 'how noisy they are, 0 to 1'],
  },
  maskThresholdingRatio: {
    in: 'generateMask run',
    default: 3,
    check: 'ratio',
    option: ['Mask', '<x>', 'differences are cut at this many times their mean'],
  },
  maskGuidanceScale: {
    in: 'run',
    check: 'number',
    option: ['Mask', '<x>', 'guidance of the mask alone'],
    instead: 'Pass guidanceScale to generateMask().',
  },
  threshold: {
    in: 'generateMask run',
    default: 0.5,
    check: 'share',
    option: ['Mask', '<x>', 'where the scaled map becomes mask, 0 to 1'],
  },
  continuous: {
    in: 'generateMask run',
    default: false,
    option: ['Mask', '', 'keep the scaled map in grey instead of black and white'],
  },
  maskMode: {
    in: 'generateMask edit run',
    default: 'binary',
    check: 'maskMode',
    option: ['Mask', '', 'keep the scaled map, and let each place change the earlier the more it differs'],
    switch: ['--soft-mask', 'soft'],
  },
  maskExponent: {
    in: 'edit run',
    default: 1,
    check: 'exponent',
    option: ['Mask', '<x>', 'of a soft mask: below 1 places change earlier, above 1 later'],
  },
  maskCleanup: {
    in: 'generateMask run',
    default: false,
    check: 'switch',
    option: ['Mask', '', 'close gaps of the mask, fill its holes and drop its specks; lifts a soft mask there'],
  },
  erode: {
    in: 'generateMask run',
    default: 0,
    check: 'whole',
    option: ['Mask', '<n>', 'shrink the mask by so many latent pixels'],
  },
  dilate: {
    in: 'generateMask run',
    default: 0,
    check: 'whole',
    option: ['Mask', '<n>', 'grow the mask by so many latent pixels'],
  },
  blur: {
    in: 'generateMask run',
    default: 0,
    check: 'positive',
    option: ['Mask', '<x>', 'soften the mask, sigma in latent pixels'],
  },
  invertGuidanceScale: {
    in: 'run',
    check: 'number',
    option: ['Inversion', '<x>', 'guidance of the inversion alone; 1 keeps it from drifting'],
    instead: 'Pass guidanceScale to invert().',
  },
  invertNegativePrompt: {
    in: 'run',
    option: ['Inversion', '<text>', 'negative prompt of the inversion'],
    instead: 'Pass negativePrompt to invert().',
  },
  invertNegativePromptEmbeds: { in: 'run', instead: 'Pass negativePromptEmbeds to invert().' },
  numInferenceSteps: {
    in: 'generateMask invert edit run',
    default: 50,
    check: 'count',
    option: ['Steps and guidance', '<n>', 'steps of the whole schedule'],
  },
  guidanceScale: {
    in: 'generateMask invert edit run',
    default: 7.5,
    check: 'number',
    option: [
      'Steps and guidance',
      '<x>',
      'classifier-free guidance of every phase that has none of its own; none at 1 or below',
    ],
  },
  guidanceInterval: {
    in: 'generateMask invert edit run',
    check: 'interval',
    option: [
      'Steps and guidance',
      '<from,to>',
      'noise levels that guidance acts at, as shares of the training timesteps (default: all)',
    ],
  },
  guidanceRescale: {
    in: 'generateMask invert edit run',
    default: 0,
    check: 'share',
    option: ['Steps and guidance', '<x>', 'how much of the spread that guidance adds is taken back, 0 to 1'],
  },
  inpaintStrength: {
    in: 'invert edit run',
    default: 0.8,
    check: 'strength',
    first: true,
    option: ['Steps and guidance', '<x>', 'share of the steps that is inverted and done again, 0 to 1'],
  },
  callbackSteps: { in: 'invert edit run', default: 1, check: 'count', first: true },
  callback: { in: 'invert edit run' },
  lambdaAutoCorr: {
    in: 'invert run',
    default: 20,
    check: 'number',
    option: ['Inversion', '<x>', 'weight of the autocorrelation term of the regularisation'],
  },
  lambdaKl: {
    in: 'invert run',
    default: 20,
    check: 'number',
    option: ['Inversion', '<x>', 'weight of the divergence term of the regularisation'],
  },
  numRegSteps: {
    in: 'invert run',
    default: 0,
    check: 'rounds',
    option: ['Inversion', '<n>', 'rounds of regularisation a step; 0 is none'],
  },
  numAutoCorrRolls: {
    in: 'invert run',
    default: 5,
    check: 'rolls',
    option: ['Inversion', '<n>', 'rolls of the autocorrelation a round'],
  },
  inversion: {
    in: 'invert run',
    default: 'ddim',
    check: 'inversion',
    option: ['Inversion', '<kind>', 'ddim, or ddpm: noise at every level, and what the steps lack of it'],
  },
  inversionRounds: {
    in: 'invert run',
    default: 0,
    check: 'whole',
    option: ['Inversion', '<n>', 'fixed-point rounds a step; 0 is none'],
  },
  decodeLatents: { in: 'invert', default: false, instead: 'run() has returnLatents.' },
  negativePrompt: {
    in: 'encodePrompt invert edit run',
    option: ['Edit', '<text>', 'what it shall not show (default: the source prompt)'],
    instead: 'There are sourceNegativePrompt and targetNegativePrompt.',
  },
  negativePromptEmbeds: {
    in: 'invert edit run',
    instead: 'There are sourceNegativePromptEmbeds and targetNegativePromptEmbeds.',
  },
  numImagesPerPrompt: {
    in: 'encodePrompt edit run',
    default: 1,
    check: 'count',
    option: ['Edit', '<n>', 'pictures to make'],
  },
  eta: {
    in: 'edit run',
    default: 0,
    check: 'positive',
    option: ['Edit', '<x>', 'share of fresh noise a step, 0 to 1'],
  },
  clipSkip: {
    in: 'encodePrompt edit run',
    check: 'layers',
    option: ['Edit', '<n>', 'last layers of the text encoder to skip'],
  },
  latents: { in: 'edit', instead: 'Inverted latents are imageLatents.' },
  maskImage: { in: 'edit run' },
  imageLatents: { in: 'edit run' },
  inversionNoise: { in: 'edit run' },
  pasteBack: { in: 'edit run' },
  outputType: { in: 'generateMask invert edit run', default: 'pil' },
  returnLatents: { in: 'run', default: false },
  generator: { in: 'encodePrompt generateMask invert edit run' },
  seed: {
    in: 'run',
    check: 'seed',
    option: [
      'Model and device',
      '<n>',
      'each phase draws from a fresh torch CPU generator with this seed (default: a new one, printed by --json)',
    ],
    instead: 'Pass generator: new Generator(seed).',
  },
  crossAttentionKwargs: { in: 'encodePrompt generateMask invert edit run' },
  signal: { in: 'encodePrompt generateMask invert edit run' },
  onProgress: { in: 'encodePrompt generateMask invert edit run' },
} as const;

type Table = typeof ARGUMENTS;

/** The name of an argument. */
export type ArgumentName = keyof Table;

/** The names of a method's arguments. */
export type NameIn<M extends Method> = {
  [N in ArgumentName]: Table[N]['in'] extends `${string}${M}${string}` ? N : never;
}[ArgumentName];

type Defaulted<M extends Method> = {
  [N in NameIn<M>]: Table[N] extends { readonly default: unknown } ? N : never;
}[NameIn<M>];

/** A method's arguments with nothing left out that has a default. */
export type Settled<M extends Method> = ArgumentsOf[M] & {
  readonly [N in Defaulted<M> & keyof ArgumentsOf[M]]-?: NonNullable<ArgumentsOf[M][N]>;
};

/** What is known of an argument, by a name that may be none. */
function argumentOf(name: string): Argument | undefined {
  return Object.hasOwn(ARGUMENTS, name) ? ARGUMENTS[name as ArgumentName] : undefined;
}

/** The names of a method's arguments, in the table's order. */
export function argumentsOf<M extends Method>(method: M): readonly NameIn<M>[] {
  const names = Object.keys(ARGUMENTS) as ArgumentName[];
  return names.filter(name => ARGUMENTS[name].in.split(' ').includes(method)) as NameIn<M>[];
}

/** The default of a method's argument, as diffusers has it; undefined where it has none. */
export function defaultOf(method: Method, name: string): unknown {
  return method === 'generateMask' && name === 'outputType' ? 'np' : argumentOf(name)?.default;
}

/**
 * Arguments with defaults where they are undefined. null stays, for the checks to refuse: diffusers takes no None for a
 * number either.
 */
export function withDefaults<M extends Method>(method: M, args: ArgumentsOf[M]): Settled<M> {
  const defaults = argumentsOf(method).map(name => [name, defaultOf(method, name)]);
  const given = Object.entries(args).filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(defaults.filter(([, value]) => value !== undefined)), ...Object.fromEntries(given) };
}

/**
 * Checks the values of a method's arguments that need nothing else: all of them have defaults, or may be left out.
 * @param first those that diffusers looks at before the prompts, or the rest
 * @param nameOf under which name the caller knows an argument
 * @throws InputError for the first that is not what the table says
 */
export function checkValues(
  op: string,
  method: Method,
  args: object,
  o: { readonly first: boolean; readonly nameOf?: (name: string) => string; readonly limits?: Limits },
): void {
  for (const name of argumentsOf(method)) {
    const { check, first = false } = argumentOf(name) ?? {};
    const value = (args as Readonly<Record<string, unknown>>)[name];
    if (check === undefined || first !== o.first || value === undefined) continue;
    checkValue(op, check, value, o.nameOf?.(name) ?? name, o.limits);
  }
}

/**
 * Refuses arguments that a method does not take.
 * @throws InputError naming the nearest that it does take, or the method that takes this one
 */
export function checkArgumentNames(op: string, method: Method, args: unknown): void {
  checkNames(op, args, argumentsOf(method), name => {
    const row = argumentOf(name);
    if (!row) return undefined;
    const methods = row.in.split(' ').map(one => `${one}()`);
    return [`${name} belongs to ${methods.join(', ')}.`, row.instead].filter(Boolean).join(' ');
  });
}

/** Those of a method's arguments that a larger object holds, such as all options of a command line. */
export function argumentsIn<M extends Method>(method: M, from: object): Partial<ArgumentsOf[M]> {
  const given = from as Readonly<Record<string, unknown>>;
  const pairs = argumentsOf(method).map(name => [name, given[name]] as const);
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined)) as object;
}
