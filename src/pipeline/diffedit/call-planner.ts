/** What a call takes, looked at before it begins: refused where it cannot fit, and made to fit a budget. */
import { DeviceError } from '../../core/errors.ts';
import { checkNames, namesOf } from '../../core/known-names.ts';
import { loadPart } from '../../core/load-part.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import { type Caps, checkCaps } from '../../gpu/caps.ts';
import { type TileSizes, tileSizes } from '../../models/stable-diffusion/index.ts';
import { SLOT_BYTES, type StreamLimits } from '../../tensor/streamed-weights.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import type { PromptRequest } from '../diffusion/prompt-request.ts';
import type { StableDiffusionNetworks } from '../diffusion/stable-diffusion-folder.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { DeviceModel } from '../runtime/device-model.ts';
import { type CallPlan, OverBudget } from '../runtime/memory-plan.ts';
import { guidanceShape } from './guidance.ts';
import type { ChosenSavings, MemoryBudget, PlanWith, Savings, SavingsHome, Streams } from './memory-budget.ts';
import { dryWork } from './plan-request.ts';
import type { Request } from './request.ts';

/** Sides of tiles that a budget may choose, in latents: with a quarter of overlap their results meet. */
const TILE_LATENTS = [64, 32, 16];
/** What a machine has left beside weights and activations where nobody has to look. */
const AMPLE_BYTES = 2 ** 29;
/** Requests that are remembered as planned. */
const REMEMBERED = 64;

/** What `plan` takes beside the arguments of the call. */
export interface CallPlanOptions {
  /** What the device grants on which the call would run, such as DEFAULT_CAPS; default this pipeline's. */
  readonly caps?: Caps | undefined;
}

const CALL_PLAN_OPTIONS = namesOf<CallPlanOptions>({ caps: 1 });

/** @throws InputError for unknown names, or what is no capabilities */
export function checkPlanOptions(op: string, options: CallPlanOptions): void {
  checkNames(op, options, CALL_PLAN_OPTIONS);
  if (options.caps !== undefined) checkCaps(op, options.caps);
}

/** What a planner is told once. */
export interface PlannerOptions {
  /** undefined: a call may take what the device gives. */
  readonly budget: MemoryBudget | undefined;
  /** How the UNet's weights are streamed without any need. */
  readonly stream: StreamLimits | undefined;
  /** Told what is done to stay within the budget. */
  readonly warn: (message: string) => void;
}

/** On which device, and until when. */
export interface DryOptions {
  /** Default the pipeline's own. */
  readonly caps?: Caps | undefined;
  /** Ends the planning with its reason. */
  readonly signal?: AbortSignalLike | undefined;
}

/** What a call takes with some savings. */
export interface SavingsPlan {
  /** In words; '' for none. */
  readonly savings: string;
  /** undefined where the device would refuse it. */
  readonly plan: CallPlan | undefined;
  /** Why. */
  readonly refused: DeviceError | undefined;
}

/** What keeps calls within a budget: most have none. */
const loadSavings = () => loadPart('what saves device memory', () => import('./memory-budget.ts'));

/** Plans the calls of one pipeline. */
export class CallPlanner {
  readonly #device: DeviceModel<StableDiffusionNetworks>;
  readonly #model: LatentDiffusion;
  readonly #options: PlannerOptions;
  /** Requests without a budget that the device takes, and their bytes at the peak. */
  readonly #fitting = new Map<string, number>();
  /** What was chosen for requests within the budget. */
  readonly #chosen = new Map<string, Savings>();
  /** The request whose programs are kept on the device. */
  #kept: string | undefined;
  #told = '';

  constructor(device: DeviceModel<StableDiffusionNetworks>, model: LatentDiffusion, options: PlannerOptions) {
    this.#device = device;
    this.#model = model;
    this.#options = options;
  }

  /** What a call takes, with the savings that the budget asks for. @throws DeviceError where it fits with none */
  async plan(op: string, request: Request, how: DryOptions): Promise<CallPlan> {
    const { budget } = this.#options;
    if (!budget) {
      const plan = await this.#planWith(request, this.#own, how);
      if (how.caps === undefined) this.#remember(this.#keyOf(request), plan.peakBytes); // the call itself need not look again
      return plan;
    }
    return (await this.#choose(op, budget, request, how)).plan;
  }

  /** Savings for a budget; where it lets the programs of all networks stay, they do. @throws DeviceError where it fits with none */
  async #choose(
    op: string,
    budget: MemoryBudget,
    request: Request,
    how: DryOptions = {},
  ): Promise<ChosenSavings & { readonly keep: boolean }> {
    const key = this.#keyOf(request);
    const plan = (savings: Savings, maxBytes: number): Promise<CallPlan> =>
      this.#planWith(request, savings, { ...how, maxBytes });
    const { savingsFor } = await loadSavings();
    const chosen = (await this.#again(key, budget, plan)) ?? (await savingsFor(op, budget, this.#home(request), plan));
    this.#chosen.set(key, chosen.savings);
    keepLatest(this.#chosen);
    if (chosen.savings.offload) return { ...chosen, keep: false };
    const all = this.#planWith(request, chosen.savings, { ...how, maxBytes: budget.maxBytes, keepPrograms: true });
    const kept = await all.catch((error: unknown) => {
      if (!(error instanceof OverBudget)) throw error;
    });
    return kept ? { ...chosen, plan: kept, keep: true } : { ...chosen, keep: false };
  }

  /** What was chosen for such a request before, if it still fits. */
  async #again(key: string, { maxBytes }: MemoryBudget, plan: PlanWith): Promise<ChosenSavings | undefined> {
    const savings = this.#chosen.get(key);
    if (!savings) return undefined;
    try {
      return { savings, plan: await plan(savings, maxBytes) };
    } catch (error) {
      if (error instanceof DeviceError) return undefined;
      throw error;
    }
  }

  /** What a call takes with each saving and all before it, in their order; what the device would refuse has no plan. */
  async savings(request: Request, how: DryOptions): Promise<SavingsPlan[]> {
    const found: SavingsPlan[] = [];
    const { describeSavings, savingsInOrder } = await loadSavings();
    for (const savings of savingsInOrder(this.#home(request), this.#options.budget?.allowTiles ?? false)) {
      const said = describeSavings(savings, this.#own);
      try {
        found.push({ savings: said, plan: await this.#planWith(request, savings, how), refused: undefined });
      } catch (error) {
        if (!(error instanceof DeviceError)) throw error;
        found.push({ savings: said, plan: undefined, refused: error });
      }
    }
    return found;
  }

  /**
   * Looks whether a call fits before its first phase, and sets the model up for it.
   * @throws DeviceError for what the device would refuse, and where the call fits its budget with no saving
   */
  async prepare(op: string, call: DeviceCall, request: Request): Promise<void> {
    const key = this.#keyOf(request);
    const kept = this.#kept === key;
    this.#kept = undefined;
    if (!kept) this.#device.rest();
    const { budget } = this.#options;
    if (budget) return this.#fit(op, this.#within(budget), { call, request, key });
    this.#adjust(this.#model, this.#own);
    if (this.#isSmall(request)) return;
    const peak = this.#fitting.get(key) ?? (await this.#planWith(request, this.#own)).peakBytes;
    call.check();
    const { gpu, memory } = this.#device;
    gpu.memory.checkRoom(op, 'the whole call', peak - memory.bytes);
    this.#remember(key, peak);
  }

  /** The same for prompts alone, of which a budget asks. @throws as prepare */
  async prepareText(op: string, call: DeviceCall, text: PromptRequest): Promise<void> {
    if (this.#options.budget) await this.prepare(op, call, { text });
  }

  #remember(key: string, peak: number): void {
    this.#fitting.set(key, peak);
    keepLatest(this.#fitting);
  }

  /** What the machine has left may be less than what the call may take. */
  #within(budget: MemoryBudget): MemoryBudget {
    const { gpu, memory } = this.#device;
    const { room = Number.POSITIVE_INFINITY } = gpu.memory;
    return { ...budget, maxBytes: Math.min(budget.maxBytes, memory.bytes + room) };
  }

  async #fit(
    op: string,
    budget: MemoryBudget,
    { call, request, key }: { readonly call: DeviceCall; readonly request: Request; readonly key: string },
  ): Promise<void> {
    const { savings, plan, keep } = await this.#choose(op, budget, request);
    const { describeSavings } = await loadSavings();
    if (savings.offload) {
      this.#device.clear();
      call.enableOffload();
    } else if (keep) {
      call.keepPrograms();
      this.#kept = key;
    } else {
      this.#device.rest();
    }
    for (const [name, limits] of Object.entries(everyStream(savings.streams))) {
      const network = this.#device.networks[name as keyof StableDiffusionNetworks];
      this.#device.stream(network, limits, this.#device.offload || savings.offload);
    }
    this.#adjust(this.#model, savings);
    call.check();
    const said = describeSavings(savings, this.#own);
    if (said === this.#told || said === '') return;
    this.#told = said;
    const within = `${(plan.peakBytes / 1e9).toFixed(2)} of ${(budget.maxBytes / 1e9).toFixed(2)} GB`;
    this.#options.warn(`To stay within the device memory allowed (${within}): ${said}.`);
  }

  #planWith(
    request: Request,
    savings: Savings,
    how: DryOptions & { readonly keepPrograms?: boolean; readonly maxBytes?: number } = {},
  ): Promise<CallPlan> {
    const work = dryWork(this.#model, request, twin => this.#adjust(twin, savings));
    const { offload, streams } = savings;
    const fresh = offload && !this.#device.offload;
    return this.#device.plan(work, { ...how, offload, fresh, streams: everyStream(streams) });
  }

  #adjust(model: LatentDiffusion, { slicing, tiling, rows }: Savings): void {
    model.autoencoder.saving = { slicing, tiling };
    model.denoiser.rowsAtOnce = rows;
  }

  /**
   * Whether nothing of a request can meet a limit of the device or of the machine: rows of the UNet are at most 8 times as wide as its
   * first level (gates of a feed-forward layer; deeper levels are wider and have fewer), the VAE's as wide as the level below theirs.
   */
  #isSmall(request: Request): boolean {
    const { caps, memory } = this.#device.gpu;
    const { maxBindingBytes, maxBufferBytes } = caps;
    const { unet, vae } = this.#device.networks;
    const [height = 0, width = 0] = (request.pictures ?? request.edit?.latents)?.shape.slice(-2) ?? [];
    const factor = request.pictures ? this.#model.vaeScaleFactor : 1;
    const pixels = (height / factor) * (width / factor);
    const { rows, pictures } = this.#home(request);
    const first = Math.max(...unet.model.config.levels.map(level => level.channels), 0) * 8;
    const { channels } = vae.model.config;
    // Per latent; an upsampled value has the channels of the level that it comes from.
    const levels = channels.map(
      (own, i) => Math.max(own, channels[i + 1] ?? 0) * (this.#model.vaeScaleFactor / 2 ** i) ** 2,
    );
    const largest = 4 * pixels * Math.max(rows * first, pictures * Math.max(...levels));
    if (largest > Math.min(maxBindingBytes, maxBufferBytes)) return false;
    const weights = Object.values(this.#device.networks).reduce((sum, { bytesToRead }) => sum + bytesToRead, 0);
    return (memory.room ?? Number.POSITIVE_INFINITY) >= 2 * weights + 8 * largest + AMPLE_BYTES;
  }

  /** As the pipeline is set. */
  get #own(): Savings {
    const { slicing, tiling } = this.#model.autoencoder;
    const { stream } = this.#options;
    return { slicing, tiling, offload: this.#device.offload, streams: stream ? { unet: stream } : {}, rows: undefined };
  }

  #home(request: Request): SavingsHome {
    const { mask, invert, edit } = request;
    const rows = [
      mask && mask.batch * (mask.guidance.guided ? 4 : 2),
      invert && invert.batch * (invert.guidance.guided ? 2 : 1),
      edit && edit.batch * edit.copies * (edit.guidance.guided ? 2 : 1),
    ];
    const { unet, textEncoder, vae } = this.#device.networks;
    // A small network in two slots as large as itself would save nothing.
    const slotOf = ({ bytesToRead }: { readonly bytesToRead: number }): number =>
      Math.min(SLOT_BYTES, Math.ceil(bytesToRead / 16));
    const text = { textEncoder: slotOf(textEncoder) };
    const slotBytes = request.text ? text : { ...text, unet: slotOf(unet), vae: slotOf(vae) };
    const decoded = [edit && edit.batch * edit.copies, invert?.decoded && invert.batch * invert.schedule.length];
    const most = (numbers: readonly (number | undefined)[]): number => Math.max(1, ...numbers.map(n => n ?? 1));
    const { software } = this.#device.gpu.caps;
    const sizes = { pictures: most(decoded), rows: most(rows), slotBytes };
    const { dtype } = this.#device.memory;
    return { own: this.#own, tiles: this.#tiles(request), ...sizes, dtype, software };
  }

  #tiles(request: Request): TileSizes[] {
    const { autoencoder } = this.#model;
    const side = Math.max(...((request.pictures ?? request.edit?.latents)?.shape.slice(-2) ?? [0]));
    const factor = request.pictures ? autoencoder.factor : 1;
    const own = tileSizes(autoencoder.network.model.config);
    return [own.latents, ...TILE_LATENTS]
      .filter((latents, i, all) => latents * factor < side && latents <= own.latents && all.indexOf(latents) === i)
      .map(latents => ({ pixels: latents * autoencoder.factor, latents, overlap: own.overlap }));
  }

  /** Everything of a request that decides what it takes, and nothing else of it. */
  #keyOf({ text, pictures, mask, invert, edit }: Request): string {
    const { slicing, tiling, offload, streams } = this.#own;
    const networks = Object.values(this.#device.networks).map(network => network.revision);
    return JSON.stringify([
      pictures?.shape,
      mask && [mask.batch, guidanceShape(mask.guidance), mask.cleanup],
      invert && [
        invert.batch,
        guidanceShape(invert.guidance),
        invert.schedule.length,
        !!invert.regularisation,
        ...[invert.returned, invert.kind, invert.rounds > 0],
      ],
      edit && [
        edit.batch,
        edit.copies,
        guidanceShape(edit.guidance),
        edit.schedule.length,
        edit.noisy,
        edit.mask?.shape,
      ],
      edit && [edit.latents?.shape, edit.output === 'latent', edit.mendQuirks],
      edit && [!!edit.noise, edit.softExponent !== undefined],
      ...[invert?.decoded !== undefined, slicing, tiling, offload, streams, networks],
      text && [text.positive, text.negative].map(prompts => (prompts && 'shape' in prompts ? 0 : prompts?.length)),
    ]);
  }
}

/** Also of the networks that are not streamed. */
function everyStream(streams: Streams): Record<keyof StableDiffusionNetworks, StreamLimits | undefined> {
  return { textEncoder: undefined, unet: undefined, vae: undefined, ...streams };
}

/** Forgets what came first. */
function keepLatest(map: Map<string, unknown>): void {
  for (const old of [...map.keys()].slice(0, Math.max(0, map.size - REMEMBERED))) map.delete(old);
}
