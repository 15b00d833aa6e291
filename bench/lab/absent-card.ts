/**
 * A WebGPU device of a card that is not there: Dawn on Mesa's driver for it, through the Vulkan layer in ./layer, which lets pipelines
 * compile and lets nothing run. Limits, features and refusals are the card's; results are zeros.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { type Card, cardOf, LabError } from './cards.ts';

/** Where Mesa's packages put the manifests of their drivers. */
const MANIFESTS = 'usr/share/vulkan/icd.d';

/** What a driver tells of one pipeline that it compiled. */
export interface CompiledPipeline {
  /** Counted from 1 in the order of compilation. */
  readonly id: number;
  /** The kernel's name. */
  readonly label: string;
  /** The WGSL. */
  readonly code: string;
  /** Lanes of a subgroup; 0 where the driver does not say. */
  readonly subgroupSize: number;
  /** By the driver's own names, such as 'VGPRs' and 'Spilled VGPRs'. */
  readonly statistics: Readonly<Record<string, number | boolean>>;
  /** The machine code as the driver prints it; undefined where it does not, or was not asked. */
  readonly listing: string | undefined;
  /** How often it was dispatched so far. */
  dispatches: number;
  /** Workgroups of all dispatches. */
  workgroups: number;
}

/** The pipelines that were compiled since the card was entered. */
export interface PipelineLog {
  /** Names pipelines of a device that is made from now on: they are compiled one after another, so that each finds its line. */
  watch(device: GPUDevice): void;
  /** Takes in what was dispatched since the last time. */
  read(): void;
  /** In the order of their compilation. */
  readonly pipelines: readonly CompiledPipeline[];
}

/** How a card is entered. */
export interface EnterOptions {
  /** A folder of a newer Mesa, in whose C library this process already runs; default the system's Mesa. */
  readonly mesa?: string | undefined;
  /** Whether machine code is kept; default false. */
  readonly listings?: boolean;
  /** The subgroup size of every pipeline; default what the program asks for. */
  readonly wave?: number | undefined;
}

/**
 * Makes the process see this card and no other; must come before Dawn is loaded.
 * @param card a card, or the name of one, such as 'navi31'
 * @throws LabError where the layer cannot be built or the driver is missing; the message says what to install
 */
export function enterAbsentCard(card: Card | string, options: EnterOptions = {}): PipelineLog {
  const { manifest, name, maker } = typeof card === 'string' ? cardOf(card) : card;
  const { mesa, listings, wave } = options;
  const driver = join(mesa ?? '/', MANIFESTS, manifest);
  if (!existsSync(driver)) throw new LabError(`no driver ${driver}: Debian's package mesa-vulkan-drivers has it`);
  const layer = buildLayer();
  const folder = mkdtempSync(join(tmpdir(), 'pentimento-lab-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const log = join(folder, 'pipelines.jsonl');
  Object.assign(process.env, {
    ...{ VK_DRIVER_FILES: driver, VK_ICD_FILENAMES: driver },
    ...(mesa ? {} : { RADV_FORCE_FAMILY: name }),
    ...{ VK_LAYER_PATH: layer, VK_INSTANCE_LAYERS: 'VK_LAYER_PENTIMENTO_dry', DRY_LAYER_LOG: log },
    ...(listings ? { DRY_LAYER_TEXTS: folder } : {}),
    ...(wave ? { DRY_LAYER_WAVE: String(wave) } : {}),
    ...(maker === 'amd' ? {} : { DRY_LAYER_SMALL: '1' }),
    MESA_SHADER_CACHE_DISABLE: 'true', // what comes from a cache is not compiled
  });
  return new Log(log, folder);
}

/** The folder of the layer, built where it is not. */
function buildLayer(): string {
  const script = fileURLToPath(new URL('layer/build.sh', import.meta.url));
  const { status, stdout, stderr, error } = spawnSync('sh', [script], { encoding: 'utf8' });
  if (status === 0) return stdout.trim();
  throw new LabError(`the layer cannot be built: ${(stderr || error?.message || `status ${status}`).trim()}`);
}

interface Line {
  readonly pipeline?: number;
  readonly subgroupSize?: number;
  readonly statistics?: Readonly<Record<string, number | boolean>>;
  readonly dispatches?: Readonly<Record<string, readonly [number, number]>>;
}

class Log implements PipelineLog {
  readonly pipelines: CompiledPipeline[] = [];
  readonly #file: string;
  readonly #folder: string;
  #lines = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(file: string, folder: string) {
    this.#file = file;
    this.#folder = folder;
  }

  watch(device: GPUDevice): void {
    const codes = new WeakMap<GPUShaderModule, string>();
    const createModule = device.createShaderModule.bind(device);
    const create = device.createComputePipelineAsync.bind(device);
    device.createShaderModule = descriptor => {
      const module = createModule(descriptor);
      codes.set(module, descriptor.code);
      return module;
    };
    device.createComputePipelineAsync = descriptor => {
      const made = this.#last.then(async () => {
        this.read(); // what Dawn makes for itself
        const pipeline = await create(descriptor);
        this.#take(descriptor.label ?? '', codes.get(descriptor.compute.module) ?? '');
        return pipeline;
      });
      this.#last = made.catch(() => undefined);
      return made;
    };
  }

  read(): void {
    this.#take('Dawn', '');
  }

  #take(label: string, code: string): void {
    if (!existsSync(this.#file)) return;
    const lines = readFileSync(this.#file, 'utf8').trimEnd().split('\n');
    for (const text of lines.slice(this.#lines)) {
      const { pipeline: id, subgroupSize = 0, statistics = {}, dispatches } = JSON.parse(text) as Line;
      if (dispatches) this.#count(dispatches);
      if (id === undefined) continue;
      const listing = this.#listing(id);
      this.pipelines.push({ id, label, code, subgroupSize, statistics, listing, dispatches: 0, workgroups: 0 });
    }
    this.#lines = lines.length;
  }

  #count(dispatches: Readonly<Record<string, readonly [number, number]>>): void {
    for (const [id, [count, groups]] of Object.entries(dispatches)) {
      const found = this.pipelines[Number(id) - 1];
      if (!found) continue;
      found.dispatches += count;
      found.workgroups += groups;
    }
  }

  /** Drivers name their machine code differently. */
  #listing(id: number): string | undefined {
    const names = readdirSync(this.#folder).filter(name => name.startsWith(`${id}.`));
    const known = names.find(name => /assembly|disasm|hw binary|isa/i.test(name));
    const name = known ?? names.findLast(one => /nak|agx|ir3/i.test(one));
    return name && readFileSync(join(this.#folder, name), 'utf8');
  }
}
