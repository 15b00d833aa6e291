/**
 * Every option of the command line, in groups that the commands share. Names and defaults are those of diffusers'
 * StableDiffusionDiffEditPipeline in kebab-case; values are checked here, before anything is loaded.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';

/** Where models come from. */
export interface HubOptions {
  readonly revision?: string;
  readonly cacheDir?: string;
  readonly variant?: string;
}

/** Where a model runs, and how the result is printed. */
export interface DeviceOptions {
  readonly dtype: 'float32' | 'float16';
  readonly device?: string;
  readonly json?: boolean;
}

/** Options of every command that runs a diffusion model. */
export interface ModelOptions extends HubOptions, DeviceOptions {
  readonly model?: string;
  readonly seed?: number;
  readonly mendQuirks?: boolean;
  readonly enableModelCpuOffload?: boolean;
  readonly enableVaeSlicing?: boolean;
  readonly enableVaeTiling?: boolean;
}

/** How large the model sees the picture. */
export interface SizeOptions {
  readonly size?: Size;
  readonly keepSize?: boolean;
}

/** Width and height in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Prompts and options of the mask phase. */
export interface MaskOptions extends MaskSettings {
  readonly sourcePrompt: string;
  readonly targetPrompt: string;
  readonly sourceNegativePrompt?: string;
  readonly targetNegativePrompt?: string;
}

/** Options of the mask phase. */
export interface MaskSettings {
  readonly numMapsPerMask: number;
  readonly maskEncodeStrength: number;
  readonly maskThresholdingRatio: number;
  readonly maskGuidanceScale?: number;
  readonly continuous?: boolean;
  readonly threshold: number;
  readonly dilate?: number;
  readonly erode?: number;
  readonly blur?: number;
}

/** Options of the inversion. */
export interface InvertOptions {
  readonly invertNegativePrompt?: string;
  readonly invertGuidanceScale?: number;
  readonly lambdaAutoCorr: number;
  readonly lambdaKl: number;
  readonly numRegSteps: number;
  readonly numAutoCorrRolls: number;
}

/** Options that several phases share. */
export interface StepOptions {
  readonly numInferenceSteps: number;
  readonly guidanceScale: number;
}

/** Which model, where it runs, how it reports. */
export function addModelOptions(command: Command): Command {
  command
    .optionsGroup('Model and device:')
    .option(
      '--model <dir or id>',
      'diffusers folder of Stable Diffusion 1.x or 2.x, or Hub id (default: the embedded orchard model)',
    );
  addHubOptions(command).option('--variant <name>', 'set of weights, such as fp16');
  return addDeviceOptions(command)
    .option(
      '--seed <n>',
      'each phase draws from a fresh torch CPU generator with this seed (default: a new one, printed by --json)',
      parseSeed,
    )
    .option('--mend-quirks', 'mend what diffusers does wrong instead of repeating it number for number')
    .option('--enable-model-cpu-offload', 'keep one network at a time on the device')
    .option('--enable-vae-slicing', 'encode and decode one picture of a batch at a time')
    .option('--enable-vae-tiling', 'encode and decode large pictures in tiles');
}

/** Branch and cache of models from the Hub. */
export function addHubOptions(command: Command): Command {
  return command
    .option('--revision <name>', 'branch, tag or commit of a Hub id')
    .option('--cache-dir <dir>', "where Hub models are kept (default: the Hub's own cache)");
}

/** Precision, adapter and form of the result. */
export function addDeviceOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--dtype <type>', 'storage of weights and activations')
        .choices(['float32', 'float16'])
        .default('float32'),
    )
    .option('--device <name>', 'adapter whose name contains this text; see `pentimento devices`')
    .option('--json', 'print the result as JSON on stdout');
}

/** Parser of seeds, as torch takes them. */
export function parseSeed(text: string): number {
  return integer(0, 2 ** 53 - 1)(text);
}

/** What size the picture is brought to before the model sees it. */
export function addSizeOptions(command: Command): Command {
  return command
    .optionsGroup('Size:')
    .addOption(
      new Option('--size <WxH>', "size that the model works at (default: the model's own)")
        .argParser(parseSize)
        .conflicts('keepSize'),
    )
    .option('--keep-size', "work at the picture's own size, cut down to multiples of the VAE's factor");
}

/** Steps and guidance of all phases. */
export function addStepOptions(command: Command): Command {
  return command
    .optionsGroup('Steps and guidance:')
    .option('--num-inference-steps <n>', 'steps of the whole schedule', integer(1), 50)
    .option('--guidance-scale <x>', 'classifier-free guidance of every phase; none at 1 or below', number(), 7.5);
}

/** Prompts and the mask phase. */
export function addMaskOptions(command: Command): Command {
  command
    .optionsGroup('Prompts:')
    .requiredOption('--source, --source-prompt <text>', 'what the picture shows')
    .requiredOption('--target, --target-prompt <text>', 'what it shall show')
    .option('--source-negative-prompt <text>', 'negative of the source prompt, for the mask')
    .option('--target-negative-prompt <text>', 'negative of the target prompt, for the mask');
  return addMaskSettings(command);
}

/** The mask phase without its prompts. */
export function addMaskSettings(command: Command): Command {
  return command
    .optionsGroup('Mask:')
    .option('--num-maps-per-mask <n>', 'noisy copies that are compared', integer(1), 10)
    .option('--mask-encode-strength <x>', 'how noisy they are, 0 to 1', number(0, 1), 0.5)
    .option(
      '--mask-thresholding-ratio <x>',
      'differences are cut at this many times their mean',
      number(Number.MIN_VALUE),
      3,
    )
    .option('--mask-guidance-scale <x>', 'guidance of the mask alone', number())
    .option('--threshold <x>', 'where the scaled map becomes mask, 0 to 1', number(0, 1), 0.5)
    .option('--continuous', 'keep the scaled map in grey instead of black and white')
    .option('--erode <n>', 'shrink the mask by so many latent pixels', integer(0))
    .option('--dilate <n>', 'grow the mask by so many latent pixels', integer(0))
    .option('--blur <x>', 'soften the mask, sigma in latent pixels', number(0));
}

/** The inversion; where it is the only phase, its negative prompt has diffusers' name too. */
export function addInvertOptions(command: Command, negative = '--invert-negative-prompt <text>'): Command {
  return command
    .optionsGroup('Inversion:')
    .option('--invert-guidance-scale <x>', 'guidance of the inversion alone; 1 keeps it from drifting', number())
    .option(negative, 'negative prompt of the inversion')
    .option('--lambda-auto-corr <x>', 'weight of the autocorrelation term of the regularisation', number(0), 20)
    .option('--lambda-kl <x>', 'weight of the divergence term of the regularisation', number(0), 20)
    .option('--num-reg-steps <n>', 'rounds of regularisation a step; 0 is none', integer(0), 0)
    .option('--num-auto-corr-rolls <n>', 'rolls of the autocorrelation a round', integer(1), 5);
}

/** Parser of a share of the steps; the same for invert and edit. */
export function addStrengthOption(command: Command): Command {
  return command.option(
    '--inpaint-strength <x>',
    'share of the steps that is inverted and done again, 0 to 1',
    number(0, 1),
    0.8,
  );
}

/** A parser of whole numbers in [least, most]. */
export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return text => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isInteger(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(
      `Give a whole number ${range(least, most === Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : most)}.`,
    );
  };
}

/** A parser of numbers in [least, most]. */
export function number(
  least: number = Number.NEGATIVE_INFINITY,
  most: number = Number.POSITIVE_INFINITY,
): (text: string) => number {
  return text => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isFinite(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(
      `Give a number${least === Number.NEGATIVE_INFINITY ? '' : ` ${range(least, most)}`}.`,
    );
  };
}

function range(least: number, most: number): string {
  if (least === Number.MIN_VALUE) return 'above 0';
  return most === Number.POSITIVE_INFINITY ? `of at least ${least}` : `from ${least} to ${most}`;
}

function parseSize(text: string): Size {
  const [, width, height] = /^(\d+)x(\d+)$/i.exec(text) ?? [];
  if (width && height && Number(width) > 0 && Number(height) > 0)
    return { width: Number(width), height: Number(height) };
  throw new InvalidArgumentError('Give width and height in pixels, such as 768x512.');
}
