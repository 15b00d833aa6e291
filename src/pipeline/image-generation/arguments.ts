/**
 * Every argument of the pipelines that make pictures, once: which pipelines take it, its default, what it may be. The table of
 * docs/parity-pipelines.md is tested against it; what an argument means stands in types.ts, what a check's name means in argument-checks.ts.
 */
import { InputError } from '../../core/errors.ts';
import { checkNames } from '../../core/known-names.ts';
import { type CheckName, checkValue, type Limits } from '../diffusion/argument-checks.ts';
import { refusal } from '../diffusion/refusal.ts';
import type { ImageToImageArgs, InpaintArgs, TextToImageArgs } from './types.ts';

/** Pipelines and the types of their arguments. */
export interface ArgumentsOf {
  readonly text: TextToImageArgs;
  readonly image: ImageToImageArgs;
  readonly inpaint: InpaintArgs;
}

/** A pipeline, by what it begins with. */
export type Kind = keyof ArgumentsOf;

/** What is known of an argument. */
export interface Argument {
  /** The pipelines that take it. */
  readonly in: string;
  /** Of a value that is left out; one for each pipeline where they differ. */
  readonly default?: number | string | Readonly<Partial<Record<Kind, number>>>;
  /** What it may be. */
  readonly check?: CheckName;
  /** A function that is called. */
  readonly listener?: boolean;
  /** Checked before the prompts, as diffusers does. */
  readonly first?: boolean;
  /** May be null, which is as good as left out. */
  readonly optional?: boolean;
  /** On the command line: its group, the value's placeholder, and a line of help. */
  readonly option?: readonly [group: OptionGroup, value: string, help: string];
}

/** A heading of the command line's help. */
export type OptionGroup = 'Prompts' | 'Picture' | 'Steps and guidance';

/** In the order in which diffusers checks them. */
export const ARGUMENTS = {
  image: { in: 'image inpaint' },
  maskImage: { in: 'inpaint' },
  maskedImageLatents: { in: 'inpaint', optional: true },
  strength: {
    in: 'image inpaint',
    default: { image: 0.8, inpaint: 1 },
    check: 'strength',
    first: true,
    option: ['Steps and guidance', '<x>', 'how much is made anew, 0 to 1'],
  },
  height: { in: 'text inpaint', check: 'count', first: true, optional: true },
  width: { in: 'text inpaint', check: 'count', first: true, optional: true },
  callbackSteps: { in: 'text image inpaint', default: 1, check: 'count', first: true },
  prompt: { in: 'text image inpaint' },
  promptEmbeds: { in: 'text image inpaint' },
  negativePrompt: {
    in: 'text image inpaint',
    option: ['Prompts', '<text>', 'what it shall not show; one, or one for each prompt'],
  },
  negativePromptEmbeds: { in: 'text image inpaint' },
  paddingMaskCrop: {
    in: 'inpaint',
    check: 'whole',
    optional: true,
    option: [
      'Picture',
      '<pixels>',
      'make the masked part alone, with so much around it, at the full size, and put it back',
    ],
  },
  maskBlur: {
    in: 'inpaint',
    default: 0,
    check: 'positive',
    option: ['Picture', '<pixels>', 'blur the mask by so much'],
  },
  numInferenceSteps: {
    in: 'text image inpaint',
    default: 50,
    check: 'count',
    option: ['Steps and guidance', '<n>', 'steps of the whole schedule'],
  },
  timesteps: {
    in: 'text image inpaint',
    optional: true,
    option: ['Steps and guidance', '<list>', 'timesteps in place of a number of steps, such as 999,749,499,249'],
  },
  sigmas: {
    in: 'text image inpaint',
    optional: true,
    option: [
      'Steps and guidance',
      '<list>',
      'noise levels in place of a number of steps, to that behind the last, such as 14.6,3.8,0.9,0',
    ],
  },
  guidanceScale: {
    in: 'text image inpaint',
    default: 7.5,
    check: 'number',
    option: ['Steps and guidance', '<x>', 'how strongly the prompt counts; 1 or below: without guidance'],
  },
  guidanceRescale: {
    in: 'text image inpaint',
    default: 0,
    check: 'share',
    option: ['Steps and guidance', '<x>', 'how much of the contrast that guidance adds is taken back, 0 to 1'],
  },
  numImagesPerPrompt: {
    in: 'text image inpaint',
    default: 1,
    check: 'count',
    option: ['Picture', '<n>', 'pictures of each prompt'],
  },
  eta: {
    in: 'text image inpaint',
    default: 0,
    check: 'positive',
    option: ['Steps and guidance', '<x>', 'fresh noise a step of DDIM, 0 to 1'],
  },
  clipSkip: {
    in: 'text image inpaint',
    check: 'layers',
    option: ['Prompts', '<n>', 'last layers of the text encoder to skip'],
  },
  generator: { in: 'text image inpaint' },
  latents: { in: 'text inpaint', optional: true },
  outputType: { in: 'text image inpaint', default: 'pil' },
  callback: { in: 'text image inpaint', listener: true },
  callbackOnStepEnd: { in: 'text image inpaint', listener: true },
  crossAttentionKwargs: { in: 'text image inpaint' },
  signal: { in: 'text image inpaint' },
  onProgress: { in: 'text image inpaint', listener: true },
} as const;

type Table = typeof ARGUMENTS;

/** The name of an argument. */
export type ArgumentName = keyof Table;

type NameIn<K extends Kind> = {
  [N in ArgumentName]: Table[N]['in'] extends `${string}${K}${string}` ? N : never;
}[ArgumentName];

type Defaulted<K extends Kind> = {
  [N in NameIn<K>]: Table[N] extends { readonly default: unknown } ? N : never;
}[NameIn<K>];

/** A pipeline's arguments with nothing left out that has a default. */
export type Settled<K extends Kind> = ArgumentsOf[K] & {
  readonly [N in Defaulted<K> & keyof ArgumentsOf[K]]-?: NonNullable<ArgumentsOf[K][N]>;
};

/** Arguments of other pipelines of diffusers, and what would take them. */
const REFUSED: Readonly<Record<string, string>> = {
  ipAdapterImage: 'IP-Adapter',
  ipAdapterImageEmbeds: 'IP-Adapter',
  controlImage: 'ControlNet',
  controlnetConditioningScale: 'ControlNet',
  prompt2: 'Stable Diffusion XL',
  pooledPromptEmbeds: 'Stable Diffusion XL',
  imageEmbeds: 'a pipeline with a prior',
};

/** The names of a pipeline's arguments, in the table's order. */
function argumentsOf(kind: Kind): readonly ArgumentName[] {
  return (Object.keys(ARGUMENTS) as ArgumentName[]).filter(name => ARGUMENTS[name].in.split(' ').includes(kind));
}

/** The default of an argument, as diffusers has it; undefined where it has none. */
export function defaultOf(kind: Kind, name: ArgumentName): number | string | undefined {
  const { default: own }: Argument = ARGUMENTS[name];
  return typeof own === 'object' ? own[kind] : own;
}

/**
 * Refuses arguments that a pipeline does not take.
 * @throws InputError naming the nearest that it does take, or what is not built
 */
export function checkArgumentNames(op: string, kind: Kind, args: unknown): void {
  for (const name of Object.keys(Object(args) as object)) {
    const what = Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined;
    if (what !== undefined) throw refusal(op, what, name);
  }
  checkNames(op, args, argumentsOf(kind));
}

/** Arguments with defaults where they are undefined. null stays where it may not be, for the checks to refuse. */
export function withDefaults<K extends Kind>(kind: K, args: ArgumentsOf[K]): Settled<K> {
  const pairs = argumentsOf(kind).map(name => {
    const { optional = false }: Argument = ARGUMENTS[name];
    const given = (args as Readonly<Record<string, unknown>>)[name];
    const value = given === null && optional ? undefined : given;
    return [name, value === undefined ? defaultOf(kind, name) : value] as const;
  });
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined)) as Settled<K>;
}

/**
 * Checks the values that need nothing else.
 * @param first those that diffusers looks at before the prompts, or the rest
 * @throws InputError for the first that is not what the table says
 */
export function checkValues(
  op: string,
  kind: Kind,
  args: object,
  { first, limits }: { readonly first: boolean; readonly limits?: Limits },
): void {
  for (const name of argumentsOf(kind)) {
    const { check, listener, first: early = false }: Argument = ARGUMENTS[name];
    const value = (args as Readonly<Record<string, unknown>>)[name];
    if (early !== first || value === undefined) continue;
    if (check !== undefined) checkValue(op, check, value, name, limits);
    if (listener && value !== null && typeof value !== 'function')
      throw new InputError({ op, problem: 'not a function', expected: 'a function', value, path: name });
  }
}

/** @throws InputError for a side that the model cannot make */
export function checkSides(
  op: string,
  sides: { readonly height: number; readonly width: number },
  multiple: number,
): void {
  for (const [path, value] of Object.entries(sides)) {
    if (value % multiple === 0) continue;
    const near = Math.max(multiple, Math.round(value / multiple) * multiple);
    const [problem, expected] = ['a side that the model cannot make', `a multiple of ${multiple}`];
    throw new InputError({ op, problem, expected, received: value, path, fix: `${near} is the nearest.` });
  }
}
