/** `pentimento plan`: what an edit would take, before it is begun and without its weights. */
import { Command } from 'commander';
import type { Caps } from '../gpu/caps.ts';
import { Gpu } from '../gpu/device.ts';
import { DEFAULT_CAPS } from '../gpu/dry-device.ts';
import { argumentsIn } from '../pipeline/diffedit/arguments.ts';
import type { SavingsPlan } from '../pipeline/diffedit/call-planner.ts';
import type { CallPlan, PhasePlan } from '../pipeline/runtime/memory-plan.ts';
import { type Outside, print } from './command.ts';
import { openDevice } from './device.ts';
import { type Loaded, loadPipeline } from './model.ts';
import {
  type ArgumentOptions,
  addArguments,
  addModelOptions,
  addSizeOptions,
  type ModelOptions,
  type Size,
  type SizeOptions,
} from './options.ts';
import { workingSize } from './pictures.ts';
import { ALL_PHASES, type SettingsReport, withPreset } from './preset.ts';
import { createProgress } from './progress.ts';

interface PlanOptions extends ModelOptions, Pick<SizeOptions, 'size'>, ArgumentOptions {
  readonly defaultLimits?: boolean;
}

/** The command with all its options. */
export function planCommand(outside: Outside): Command {
  const command = new Command('plan')
    .description(
      'Tell what an edit would take: memory of the device and the host, kernel calls, arithmetic. No weights are read.',
    )
    .option('--default-limits', 'plan for a device with the limits that every WebGPU device has');
  for (const group of ['Prompts', 'Mask', 'Inversion', 'Steps and guidance', 'Edit'] as const)
    addArguments(command, group);
  addSizeOptions(command, { keepSize: false });
  addModelOptions(command);
  return command.action((o: PlanOptions) => plan(o, command, outside));
}

async function plan(typed: PlanOptions, command: Command, outside: Outside): Promise<void> {
  const progress = createProgress(outside.stderr);
  let loaded: Loaded | undefined;
  try {
    const open = typed.defaultLimits ? async (): Promise<Gpu> => Gpu.dry(limitsOf(typed)) : () => openDevice(typed);
    const { maxMemory: _, ...unlimited } = typed; // every saving is shown, also those that are not needed
    loaded = await loadPipeline(unlimited, progress, outside.signal, { open, planOnly: true });
    const { pipe, model } = loaded;
    const { options: o, report } = withPreset(typed, command, ALL_PHASES, pipe.recommended, progress.note);
    const size = workingSize({ width: 0, height: 0 }, pipe, o);
    const image = { ...size, data: new Uint8Array(3 * size.width * size.height) };
    const prompts = { sourcePrompt: 'source', targetPrompt: 'target' }; // what they say makes no difference
    const args = { ...prompts, ...argumentsIn('run', o), image, seed: o.seed ?? 0, signal: outside.signal };
    const plans = await pipe.planSavings(args);
    progress.stop();
    const wanted = firstThatFits(plans, o.maxMemory);
    if (o.json) printJson(outside, { o, model, size, plans, loaded }, report);
    else outside.stdout.write(describe(plans, wanted, { o, model, size, loaded }));
    const [first] = plans;
    if (!wanted && first?.refused) throw first.refused;
  } finally {
    progress.stop();
    loaded?.dispose();
  }
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
  readonly size: Size;
  readonly loaded: Loaded;
}

function printJson(
  outside: Outside,
  { o, model, size, plans, loaded }: Shown & { plans: readonly SavingsPlan[] },
  report: SettingsReport,
): void {
  const { maxBindingBytes, maxBufferBytes } = loaded.pipe.gpu.caps;
  const [first] = plans;
  const wanted = firstThatFits(plans, o.maxMemory);
  print(outside, true, {
    ...{
      files: {},
      command: 'plan',
      model,
      device: loaded.device,
      dtype: o.dtype,
      size,
      maxBindingBytes,
      maxBufferBytes,
    },
    ...(o.maxMemory === undefined ? {} : { maxBytes: o.maxMemory }),
    ...report,
    fits: first !== undefined && wanted === first,
    fitsWith: wanted?.savings,
    plan: wanted?.plan ?? first?.plan,
    savings: plans.map(({ savings, plan: found, refused }) => ({
      ...{ savings, peakBytes: found?.peakBytes, hostBytes: found?.hostBytes, refused: refused?.message },
    })),
  });
}

function describe(
  plans: readonly SavingsPlan[],
  wanted: SavingsPlan | undefined,
  { o, model, size, loaded }: Shown,
): string {
  const { maxBindingBytes, maxBufferBytes } = loaded.pipe.gpu.caps;
  const shown = wanted ?? plans[0];
  return [
    `${model}, ${size.width}x${size.height}, ${o.dtype}`,
    `${loaded.device}: bindings up to ${short(maxBindingBytes)}, buffers up to ${short(maxBufferBytes)}`,
    '',
    ...(shown?.plan ? table(shown.plan) : [`refused: ${shown?.refused?.message}`]),
    '',
    'Device memory at its peak:',
    ...plans.map(found => {
      const bytes = found.plan ? short(found.plan.peakBytes) : 'refused';
      return `  ${bytes.padStart(8)}  ${found.savings || 'as it is'}${found === wanted ? '  <- shown above' : ''}`;
    }),
    ...verdict(wanted, o),
    '',
  ].join('\n');
}

function verdict(wanted: SavingsPlan | undefined, { maxMemory }: PlanOptions): string[] {
  if (maxMemory === undefined) return [];
  return [
    wanted
      ? `Fits ${short(maxMemory)}${wanted.savings ? `: --max-memory chooses ${wanted.savings}` : ' as it is'}.`
      : `Does not fit ${short(maxMemory)}. Try --dtype float16, a smaller --size, or --allow-tiles.`,
  ];
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
