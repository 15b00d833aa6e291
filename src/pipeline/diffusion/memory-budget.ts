/** How a call spends no more device memory than it may: which savings, in which order, and what each is called. */
import { DeviceError } from '../../core/errors.ts';
import { type TileSizes, tileSizes, vaeScaleFactor } from '../../models/stable-diffusion/index.ts';
import { SLOT_BYTES, type StreamLimits } from '../../tensor/streamed-weights.ts';
import type { DeviceModel } from '../runtime/device-model.ts';
import { type CallPlan, OverBudget } from '../runtime/memory-plan.ts';
import type { Phase } from '../runtime/progress.ts';
import type { PlannedCall, SavingsPlan } from './planned-call.ts';
import type { StableDiffusionNetworks } from './stable-diffusion-folder.ts';

/** By the names of networks: how their weights pass through the device. Those of the others lie there whole. */
export type Streams = Readonly<Partial<Record<keyof StableDiffusionNetworks, StreamLimits>>>;

/** Networks in the order in which they come to be streamed, and what messages call them. */
const STREAMED: readonly (readonly [keyof StableDiffusionNetworks, string])[] = [
  ['unet', 'UNet'],
  ['textEncoder', 'text encoder'],
  ['vae', 'VAE'],
];

/** What one call does to save device memory. All of it leaves every bit of the result as it is, but tiles. */
export interface Savings {
  /** One picture at a time through the VAE. */
  readonly slicing: boolean;
  /** Pictures by tiles through the VAE. */
  readonly tiling: TileSizes | undefined;
  /** One network at a time on the device. */
  readonly offload: boolean;
  /** Networks whose weights pass through the device instead of lying there. */
  readonly streams: Streams;
  /** Rows of the UNet's batch at once; undefined for all. */
  readonly rows: number | undefined;
}

/** What a pipeline may spend. */
export interface MemoryBudget {
  /** Device bytes of a call at any time. */
  readonly maxBytes: number;
  /** Whether tiles may be used, which change the numbers. */
  readonly allowTiles: boolean;
}

/** What the savings of a call depend on. */
export interface SavingsHome {
  /** As the pipeline is set: the beginning. */
  readonly own: Savings;
  /** Tiles that the VAE takes and the picture is larger than, the largest first. */
  readonly tiles: readonly TileSizes[];
  /** Pictures that are decoded. */
  readonly pictures: number;
  /** Rows of the UNet's largest batch. */
  readonly rows: number;
  /** Of activations. */
  readonly dtype: 'float32' | 'float16';
  /** Whether the device's memory is the machine's. */
  readonly software: boolean;
  /** Of each of the slots that weights would be streamed through, by the networks that work. */
  readonly slotBytes: Readonly<Partial<Record<keyof StableDiffusionNetworks, number>>>;
}

/** Sides of tiles that a budget may choose, in latents: with a quarter of overlap their results meet. */
const TILE_LATENTS = [64, 32, 16];

/** What the savings of a call on a model depend on. @param own as the model is set */
export function homeOf(
  { networks, rows = 1, pictures = 1, sides = [] }: PlannedCall,
  device: DeviceModel<StableDiffusionNetworks>,
  own: Savings,
): SavingsHome {
  const { vae } = device.networks;
  const { latents: most, overlap } = tileSizes(vae.model.config);
  const factor = vaeScaleFactor(vae.model.config);
  // A small network in two slots as large as itself would save nothing.
  const slotBytes = Object.entries(device.networks)
    .filter(([name]) => networks?.includes(name as keyof StableDiffusionNetworks) ?? true)
    .map(([name, { bytesToRead }]) => [name, Math.min(SLOT_BYTES, Math.ceil(bytesToRead / 16))]);
  return {
    ...{ own, pictures, rows, slotBytes: Object.fromEntries(slotBytes) },
    tiles: [...new Set([most, ...TILE_LATENTS])]
      .filter(latents => latents < Math.max(...sides) && latents <= most)
      .map(latents => ({ pixels: latents * factor, latents, overlap })),
    ...{ dtype: device.memory.dtype, software: device.gpu.caps.software },
  };
}

/**
 * Savings in the order in which they are tried, each with all that came before: slicing, tiles where they are allowed, offload
 * of whole networks, streaming of the UNet, of the text encoder and of the VAE, fewer rows at once. Tiles are as large as may be at first, and smaller where nothing else is left.
 */
export function* savingsInOrder(home: SavingsHome, allowTiles: boolean): Generator<Savings> {
  let now = home.own;
  yield now;
  const further = function* (more: Partial<Savings>): Generator<Savings> {
    now = { ...now, ...more };
    yield now;
  };
  if (!now.slicing && home.pictures > 1) yield* further({ slicing: true });
  const [largest, ...smaller] = allowTiles && !now.tiling ? home.tiles : [];
  if (largest) yield* further({ tiling: largest });
  if (!now.offload) yield* further({ offload: true });
  for (const [name] of STREAMED) {
    const slotBytes = home.slotBytes[name];
    const own = now.streams[name];
    // Slots that nobody chose are made for large networks: in those a small one would lie whole.
    if (slotBytes === undefined || own?.slotBytes !== undefined || (own && SLOT_BYTES <= slotBytes)) continue;
    yield* further({ streams: { ...now.streams, [name]: { ...own, slotBytes } } });
  }
  for (let rows = Math.ceil(home.rows / 2); rows >= 1 && home.rows > 1; rows = rows === 1 ? 0 : Math.ceil(rows / 2))
    yield* further({ rows });
  for (const tiling of smaller) yield* further({ tiling });
}

/** What was chosen, and what the call takes with it. */
export interface ChosenSavings {
  readonly savings: Savings;
  readonly plan: CallPlan;
  /** Whether there is memory for the programs of all networks too. */
  readonly keep: boolean;
}

/**
 * The first savings with which a call fits; where they let the programs of all networks stay, those do.
 * @param known what was chosen for such a call before
 * @throws DeviceError where it fits with none: how near it comes, and what would help
 */
export async function savingsFor(
  op: string,
  budget: MemoryBudget,
  home: SavingsHome,
  { plan, known }: { readonly plan: PlanWith; readonly known: Savings | undefined },
): Promise<ChosenSavings> {
  const again = known && (await within(plan(known, budget.maxBytes)));
  const chosen =
    known && again && !(again instanceof DeviceError)
      ? { savings: known, plan: again }
      : await firstThatFits(op, budget, home, plan);
  if (chosen.savings.offload) return { ...chosen, keep: false };
  const kept = await within(plan(chosen.savings, budget.maxBytes, true));
  return kept instanceof DeviceError ? { ...chosen, keep: false } : { ...chosen, plan: kept, keep: true };
}

type Fitting = Omit<ChosenSavings, 'keep'>;

async function firstThatFits(op: string, budget: MemoryBudget, home: SavingsHome, plan: PlanWith): Promise<Fitting> {
  let last = home.own;
  let refused: DeviceError | undefined;
  for (const savings of savingsInOrder(home, budget.allowTiles)) {
    const found = await within(plan(savings, budget.maxBytes));
    last = savings;
    if (!(found instanceof DeviceError)) return withResidents({ savings, plan: found }, budget, home, plan);
    if (!(found instanceof OverBudget)) refused = found; // by the device's limits: smaller pieces may pass them
  }
  const least = await within(plan(last));
  if (least instanceof DeviceError) throw refused ?? least;
  throw refusal(op, budget, home, least, await tilesThatFit(budget, home, last, plan));
}

/** What a call takes with each saving and all before it, in their order; what the device would refuse has no plan. */
export async function planEach(home: SavingsHome, allowTiles: boolean, plan: PlanWith): Promise<SavingsPlan[]> {
  const found: SavingsPlan[] = [];
  for (const savings of savingsInOrder(home, allowTiles)) {
    const made = await within(plan(savings));
    const said = describeSavings(savings, home.own);
    if (made instanceof DeviceError) found.push({ savings: said, plan: undefined, refused: made });
    else found.push({ savings: said, plan: made, refused: undefined });
  }
  return found;
}

/** What a call takes with some savings, and with the programs of all networks. @throws OverBudget beyond so many device bytes */
export type PlanWith = (savings: Savings, maxBytes?: number, keepPrograms?: boolean) => Promise<CallPlan>;

/** The plan, or why the device would not have it. */
function within(plan: Promise<CallPlan>): Promise<CallPlan | DeviceError> {
  return plan.catch((error: unknown) => {
    if (error instanceof DeviceError) return error;
    throw error;
  });
}

/**
 * Share of the spare memory that weights may fill: drivers take some of their own, in software out of the same process, and there
 * bringing weights is a small part of a step.
 */
const FILLED = { hardware: 0.9, software: 0.4 };

/** Phases in which the UNet works. */
const OF_UNET: readonly Phase[] = ['mask', 'invert', 'edit', 'generate'];

/** What is left of the budget holds weights that then need not be brought at every step. */
async function withResidents(
  chosen: Fitting,
  { maxBytes }: MemoryBudget,
  home: SavingsHome,
  plan: PlanWith,
): Promise<Fitting> {
  const { savings } = chosen;
  const { unet } = savings.streams;
  if (!unet || unet.residentBytes !== undefined) return chosen;
  const ofUNet = chosen.plan.phases.filter(({ phase }) => OF_UNET.includes(phase));
  const spare = maxBytes - Math.max(0, ...ofUNet.map(({ peakBytes }) => peakBytes));
  const residentBytes = Math.floor(spare * FILLED[home.software ? 'software' : 'hardware']);
  const more = { ...savings, streams: { ...savings.streams, unet: { ...unet, residentBytes } } };
  const found = await within(plan(more, maxBytes));
  return found instanceof DeviceError ? chosen : { savings: more, plan: found };
}

/** Tiles with which it would fit, where nobody has allowed them. */
async function tilesThatFit(
  { maxBytes, allowTiles }: MemoryBudget,
  { own, tiles }: SavingsHome,
  last: Savings,
  plan: PlanWith,
): Promise<TileSizes | undefined> {
  if (allowTiles || own.tiling) return undefined;
  for (const tiling of tiles) {
    if (!((await within(plan({ ...last, tiling }, maxBytes))) instanceof DeviceError)) return tiling;
  }
  return undefined;
}

function refusal(
  op: string,
  { maxBytes, allowTiles }: MemoryBudget,
  { dtype }: SavingsHome,
  least: CallPlan,
  tiles: TileSizes | undefined,
): DeviceError {
  const { phase } = least.phases.reduce((a, b) => (b.peakBytes > a.peakBytes ? b : a));
  return new DeviceError({
    op,
    problem: tiles
      ? 'the call fits its device memory only with VAE tiles, which change the numbers'
      : 'the call needs more device memory than it may take',
    expected: `at most ${maxBytes} bytes`,
    received: `${least.peakBytes} bytes with every saving that ${allowTiles ? 'there is' : 'keeps the numbers'}, in the phase '${phase}'`,
    path: 'maxBytes',
    fix: tiles
      ? `Allow them with allowTiles: tiles of ${tiles.pixels} pixels fit.`
      : `Use ${dtype === 'float16' ? '' : "dtype 'float16', "}${phase === 'text' ? 'fewer prompts at once' : 'a smaller picture'}, or a larger maxBytes.`,
  });
}

/** What is done to stay within a budget, for whoever is to know. @param said the savings in words */
export function toldOf(said: string, { peakBytes }: CallPlan, { maxBytes }: MemoryBudget): string {
  const within = `${(peakBytes / 1e9).toFixed(2)} of ${(maxBytes / 1e9).toFixed(2)} GB`;
  return `To stay within the device memory allowed (${within}): ${said}.`;
}

/** Savings beyond the pipeline's own, in words; '' for none. */
export function describeSavings(savings: Savings, own: Savings): string {
  const said = [
    savings.slicing && !own.slicing && 'one picture at a time through the VAE',
    savings.tiling && !own.tiling && `VAE tiles of ${savings.tiling.pixels} pixels`,
    savings.offload && !own.offload && 'one network at a time on the device',
    ...STREAMED.map(([name, network]) => {
      const [now, before] = [savings.streams[name], own.streams[name]];
      if (!now || now.slotBytes === before?.slotBytes) return '';
      return `the ${network}'s weights streamed${before ? ' through smaller slots' : ''}`;
    }),
    savings.rows !== own.rows && savings.rows !== undefined && `${savings.rows} of the UNet's rows at once`,
  ];
  return said.filter(Boolean).join(', ');
}
