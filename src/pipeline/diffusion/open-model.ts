/** From opened networks to a model on the device, with the adapters that act from the beginning. */
import { closeUnread } from '../../io/sources.ts';
import { DeviceModel } from '../runtime/device-model.ts';
import { type DeviceModelNames, warner } from '../runtime/model-options.ts';
import { Adapters, sourcesOf } from './adapters.ts';
import type { OpenedParts } from './shared-model.ts';
import type { StableDiffusionFolder, StableDiffusionNetworks } from './stable-diffusion-folder.ts';
import {
  memoryBudget,
  refuseSafetyChecker,
  type StableDiffusionOptions,
  streamLimits,
} from './stable-diffusion-options.ts';

/** What a pipeline is made of. */
export interface OpenedStableDiffusion<F> extends Omit<OpenedParts, 'folder'> {
  readonly folder: F;
}

/**
 * Opens a model; what was opened is closed again where that fails.
 * @param op the method, for messages
 * @param openNetworks called once the options are checked
 * @throws as DeviceModel.open and the loading of adapters
 */
export async function openModel<F extends StableDiffusionFolder<unknown>>(
  op: string,
  names: DeviceModelNames,
  options: StableDiffusionOptions,
  openNetworks: () => Promise<F>,
): Promise<OpenedStableDiffusion<F>> {
  let adapters: Adapters | undefined;
  let memory: OpenedParts['memory'] = { budget: undefined, stream: undefined };
  let reading = false;
  try {
    const { device, opened } = await DeviceModel.open<StableDiffusionNetworks, F>(
      names,
      // A budget may keep the weights elsewhere.
      options?.maxBytes === undefined ? options : { ...options, loadWhenNeeded: true },
      async () => {
        refuseSafetyChecker(op, options);
        memory = { stream: streamLimits(op, options), budget: memoryBudget(op, options) };
        return openNetworks();
      },
      async (networks, { tokenizer }, device) => {
        if (memory.stream) device.stream(networks.unet, memory.stream);
        adapters = new Adapters(networks, tokenizer, warner(options));
        reading = true;
        await adapters.loadAll(op, options);
      },
    );
    const own = adapters ?? new Adapters(device.networks, opened.tokenizer, warner(options));
    return { device, folder: opened, adapters: own, memory };
  } catch (error) {
    adapters?.close();
    if (!reading) await closeUnread(sourcesOf(options));
    throw error;
  }
}
