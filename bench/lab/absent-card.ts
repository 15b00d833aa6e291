/**
 * A WebGPU device of a card that is not there: Dawn on Mesa's driver for it, through the Vulkan layer in ./layer, which lets pipelines
 * compile and lets nothing run. Limits, features and refusals are the card's; results are zeros.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { Gpu } from '../../src/gpu/device.ts';

/** Where Mesa's packages put the manifest of RADV, the driver of AMD's cards. */
const RADV = '/usr/share/vulkan/icd.d/radeon_icd.json';

/** What the driver tells of one pipeline that it compiled. */
export interface CompiledPipeline {
  /** The kernel's name. */
  readonly label: string;
  /** Lanes of a subgroup. */
  readonly subgroupSize: number;
  /** By the driver's own names, such as 'VGPRs' and 'Spilled VGPRs'. */
  readonly statistics: Readonly<Record<string, number | boolean>>;
}

/** The pipelines that were compiled since the card was entered. */
export interface PipelineLog {
  /** Names pipelines of a device that is made from now on: they are compiled one after another, so that each finds its line. */
  watch(gpu: Gpu): void;
  /** In the order of their compilation. */
  readonly pipelines: readonly CompiledPipeline[];
}

/**
 * Makes the process see this card and no other; must come before Dawn is loaded.
 * @param family RADV's name of it, such as 'navi31'
 * @throws where the layer cannot be built or the driver is missing; the message says what to install
 */
export function enterAbsentCard(family: string): PipelineLog {
  if (!existsSync(RADV)) throw new Error(`no driver ${RADV}: Debian's package mesa-vulkan-drivers, 25.0, has it`);
  const build = fileURLToPath(new URL('layer/build.sh', import.meta.url));
  const layer = execFileSync('sh', [build], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
  const folder = mkdtempSync(join(tmpdir(), 'pentimento-lab-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const log = join(folder, 'pipelines.jsonl');
  Object.assign(process.env, {
    ...{ VK_DRIVER_FILES: RADV, VK_ICD_FILENAMES: RADV, RADV_FORCE_FAMILY: family },
    ...{ VK_LAYER_PATH: layer, VK_INSTANCE_LAYERS: 'VK_LAYER_PENTIMENTO_dry', DRY_LAYER_LOG: log },
    MESA_SHADER_CACHE_DISABLE: 'true', // what comes from a cache is not compiled
  });
  return new Log(log);
}

class Log implements PipelineLog {
  readonly pipelines: CompiledPipeline[] = [];
  readonly #file: string;
  #lines = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(file: string) {
    this.#file = file;
  }

  watch({ device }: Gpu): void {
    const create = device.createComputePipelineAsync.bind(device);
    device.createComputePipelineAsync = descriptor => {
      const made = this.#last.then(async () => {
        const pipeline = await create(descriptor);
        this.#take(descriptor.label ?? '');
        return pipeline;
      });
      this.#last = made.catch(() => undefined);
      return made;
    };
  }

  #take(label: string): void {
    if (!existsSync(this.#file)) return;
    const lines = readFileSync(this.#file, 'utf8').trimEnd().split('\n');
    for (const line of lines.slice(this.#lines)) this.pipelines.push({ label, ...JSON.parse(line) });
    this.#lines = lines.length;
  }
}
