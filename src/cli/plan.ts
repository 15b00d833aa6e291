/** `pentimento plan`: what an edit would take, before it is begun and without its weights. */
import { Command } from 'commander';
import { DeviceError, InputError } from '../core/errors.ts';
import type { Caps } from '../gpu/caps.ts';
import { Gpu } from '../gpu/device.ts';
import { DEFAULT_CAPS } from '../gpu/dry-device.ts';
import { fitSize, type PictureFit } from '../io/fit.ts';
import { sizeText } from '../io/image.ts';
import { readImage } from '../node/images.ts';
import { argumentsIn } from '../pipeline/diffedit/arguments.ts';
import type { SavingsPlan } from '../pipeline/diffusion/planned-call.ts';
import type { CallPlan, PhasePlan } from '../pipeline/runtime/memory-plan.ts';
import { type Outside, print } from './command.ts';
import { openDevice } from './device.ts';
import { type Loaded, loadPipeline } from './model.ts';
import { parseSize, type Size } from './option-values.ts';
import {
  type ArgumentOptions,
  addArguments,
  addModelOptions,
  addPasteBackOptions,
  addSizeOptions,
  type ModelOptions,
  type PasteBackOptions,
  type SizeOptions,
} from './options.ts';
import { fitOptions, pastesBack, sizeNote, sizesOf } from './pictures.ts';
import { ALL_PHASES, givenOn, type SettingsReport, withPreset } from './preset.ts';
import { createProgress } from './progress.ts';
import { inCommandWords } from './words.ts';

interface PlanOptions extends ModelOptions, SizeOptions, PasteBackOptions, ArgumentOptions {
  readonly defaultLimits?: boolean;
}

/** The command with all its options. */
export function planCommand(outside: Outside): Command {
  const command = new Command('plan')
    .description(
      'Tell what an edit would take: memory of the device and the host, kernel calls, arithmetic. No weights are read.',
    )
    .argument(
      '[image]',
      "the edit's picture, or its size such as 4000x3000; by default one of the size that the model works at",
      (text: string): string | Size => (/^\d+x\d+$/i.test(text) ? parseSize(text) : text),
    )
    .option('--default-limits', 'plan for a device with the limits that every WebGPU device has');
  for (const group of ['Prompts', 'Mask', 'Inversion', 'Steps and guidance', 'Edit'] as const)
    addArguments(command, group);
  addPasteBackOptions(command);
  addSizeOptions(command);
  addModelOptions(command);
  return command.action((image: string | Size | undefined, o: PlanOptions) => plan(image, o, command, outside));
}

/** Sides of the picture that an argument names: all that a plan needs of it. */
async function sidesOf(image: string | Size, { signal }: Outside): Promise<Size> {
  return typeof image === 'string' ? readImage(image, { signal }) : image;
}

async function plan(
  image: string | Size | undefined,
  typed: PlanOptions,
  command: Command,
  outside: Outside,
): Promise<void> {
  if (image === undefined && typed.keepSize) {
    const fix = 'Name it, or give its size, such as 768x512.';
    throw new InputError({ op: 'plan', problem: '--keep-size keeps the size of a picture', received: 'none', fix });
  }
  const picture = image === undefined ? undefined : await sidesOf(image, outside);
  const progress = createProgress(outside.stderr);
  let loaded: Loaded | undefined;
  try {
    const open = typed.defaultLimits
      ? async (): Promise<Gpu> => Gpu.dry(limitsOf(typed))
      : () => openDevice(typed, progress.note);
    // Tiles are among the savings of a budget alone: without one they are shown as one without end would have them.
    const { maxMemory, allowTiles } = typed;
    const budget = maxMemory ?? (allowTiles ? Number.MAX_SAFE_INTEGER : undefined);
    const limited = { ...typed, ...(budget === undefined ? {} : { maxMemory: budget }) };
    loaded = await loadPipeline(limited, progress, outside.signal, { open, planOnly: true });
    const { pipe, model } = loaded;
    const { options: o, report } = withPreset(typed, givenOn(command), ALL_PHASES, pipe.recommended, progress.note);
    const fit = fitSize(picture ?? o.size ?? pipe.defaultSize, pipe, fitOptions(o));
    const size = fit.working;
    const seen = { ...size, data: new Uint8Array(3 * size.width * size.height) };
    const prompts = { sourcePrompt: 'source', targetPrompt: 'target' }; // what they say makes no difference
    const args = {
      ...prompts,
      ...argumentsIn('run', o),
      image: seen,
      pasteBack: undefined,
      seed: o.seed ?? 0,
      signal: outside.signal,
    };
    const plans = await pipe.planSavings(args);
    const chosen = maxMemory === undefined ? undefined : await planned(pipe.plan(args));
    progress.stop();
    const shown = { o, model, fit, loaded, plans, wanted: firstThatFits(plans, maxMemory), chosen };
    if (o.json) printJson(outside, shown, report);
    else outside.stdout.write(describe(shown));
    const [first] = plans;
    if (!shown.wanted && first?.refused) throw first.refused;
  } finally {
    progress.stop();
    loaded?.dispose();
  }
}

/** The plan, or why there is none. */
function planned(plan: Promise<CallPlan>): Promise<CallPlan | DeviceError> {
  return plan.catch((error: unknown) => {
    if (error instanceof DeviceError) return error;
    throw error;
  });
}

/** WebGPU's default limits, or a smaller binding where one is asked for. */
function limitsOf({ maxBinding }: PlanOptions): Partial<Caps> {
  const { maxBindingBytes: most } = DEFAULT_CAPS;
  return maxBinding === undefined ? {} : { maxBindingBytes: Math.min(most, maxBinding) };
}

/** The first way that the device takes, within the memory that is allowed. */
function firstThatFits(plans: readonly SavingsPlan[], maxBytes: number | undefined): SavingsPlan | undefined {
  return plans.find(({ plan }) => plan !== undefined && (maxBytes === undefined || plan.peakBytes <= maxBytes));
}

interface Shown {
  readonly o: PlanOptions;
  readonly model: string;
  readonly fit: PictureFit;
  readonly loaded: Loaded;
  /** With each saving and all before it. */
  readonly plans: readonly SavingsPlan[];
  /** The first of them that fits. */
  readonly wanted: SavingsPlan | undefined;
  /** What a call within --max-memory takes, with what it keeps in the memory that is left; or why it is refused. */
  readonly chosen: CallPlan | DeviceError | undefined;
}

/** The plan that is told of: that of the call itself, as far as there is one. */
function planOf({ plans, wanted, chosen }: Shown): CallPlan | undefined {
  return chosen && !(chosen instanceof DeviceError) ? chosen : (wanted ?? plans[0])?.plan;
}

function printJson(outside: Outside, shown: Shown, report: SettingsReport): void {
  const { o, model, fit, plans, loaded, wanted, chosen } = shown;
  const { maxBindingBytes, maxBufferBytes } = loaded.pipe.gpu.caps;
  const [first] = plans;
  print(outside, true, {
    ...{
      files: {},
      command: 'plan',
      model,
      device: loaded.device,
      tuning: loaded.tuning,
      dtype: o.dtype,
      size: fit.working,
      maxBindingBytes,
      maxBufferBytes,
      ...sizesOf(fit, pastesBack(o)),
    },
    ...(o.maxMemory === undefined ? {} : { maxBytes: o.maxMemory }),
    ...report,
    fits: first !== undefined && wanted === first,
    fitsWith: wanted?.savings,
    ...(chosen instanceof DeviceError ? { refused: inCommandWords(chosen, 'plan') } : {}),
    plan: planOf(shown),
    savings: plans.map(({ savings, plan: found, refused }) => ({
      ...{ savings, peakBytes: found?.peakBytes, hostBytes: found?.hostBytes },
      refused: refused && inCommandWords(refused, 'plan'),
    })),
  });
}

function describe(shown: Shown): string {
  const { o, model, fit, loaded, plans, wanted } = shown;
  const { maxBindingBytes, maxBufferBytes } = loaded.pipe.gpu.caps;
  const plan = planOf(shown);
  const refused = plans[0]?.refused;
  return [
    `${model}, ${sizeText(fit.working)}, ${o.dtype}`,
    ...[sizeNote(fit, pastesBack(o)) ?? []].flat(),
    `${loaded.device}: bindings up to ${short(maxBindingBytes)}, buffers up to ${short(maxBufferBytes)}`,
    '',
    ...(plan ? table(plan) : [`refused: ${refused ? inCommandWords(refused, 'plan') : ''}`]),
    '',
    'Device memory at its peak:',
    ...plans.map(found => {
      const bytes = found.plan ? short(found.plan.peakBytes) : 'refused';
      return `  ${bytes.padStart(8)}  ${found.savings || 'as it is'}${found === wanted ? '  <- shown above' : ''}`;
    }),
    ...verdict(shown),
    '',
  ].join('\n');
}

function verdict(shown: Shown): string[] {
  const { wanted, chosen, o } = shown;
  if (o.maxMemory === undefined) return [];
  const most = short(o.maxMemory);
  if (chosen instanceof DeviceError) return [`Does not fit ${most}. ${inCommandWords(chosen, 'plan')}`];
  const saved = wanted?.savings ? `: --max-memory chooses ${wanted.savings}` : ' as it is';
  const [least, all] = [wanted?.plan?.peakBytes ?? 0, chosen?.peakBytes ?? 0];
  const kept = all > least ? ` What is left of it keeps weights or programs: ${short(all)} in all.` : '';
  return [`Fits ${most}${saved}.${kept}`];
}

const COLUMNS: readonly (readonly [title: string, value: (p: Omit<PhasePlan, 'phase'>) => string])[] = [
  ['device', p => short(p.peakBytes)],
  ['weights', p => short(p.weightBytes)],
  ['activations', p => short(p.activationBytes)],
  ['staging', p => short(p.stagingBytes)],
  ['host', p => short(p.hostBytes)],
  ['binding', p => short(p.largestBinding)],
  ['buffer', p => short(p.largestBuffer)],
  ['calls', p => String(p.dispatches)],
  ['TFLOP', p => (p.flops / 1e12).toFixed(p.flops < 1e13 ? 2 : 0)],
];

/** One line a phase, and the peaks of all. */
function table(found: CallPlan): string[] {
  const phases = found.phases.filter(p => p.phase !== 'load' || p.peakBytes > 0);
  const rows = [
    ['', ...COLUMNS.map(([title]) => title)],
    ...phases.map(p => [p.phase, ...COLUMNS.map(([, value]) => value(p))]),
    ['in all', ...COLUMNS.map(([, value]) => value(found))],
  ];
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map(row => row[i]?.length ?? 0))) ?? [];
  return rows.map(row =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
  );
}

/** Powers of ten, as memory is sold and as --max-memory takes it. */
function short(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  return bytes >= 1e6 ? `${Math.round(bytes / 1e6)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
}
