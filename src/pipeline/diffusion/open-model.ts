/** From opened networks to a model on the device, with the adapters that act from the beginning. */
import { closeUnread } from '../../io/sources.ts';
import type { StreamLimits } from '../../tensor/streamed-weights.ts';
import { DeviceModel } from '../runtime/device-model.ts';
import { type DeviceModelNames, warner } from '../runtime/model-options.ts';
import { Adapters, sourcesOf } from './adapters.ts';
import type { StableDiffusionFolder, StableDiffusionNetworks } from './stable-diffusion-folder.ts';
import { refuseSafetyChecker, type StableDiffusionOptions, streamLimits } from './stable-diffusion-options.ts';

/** What a pipeline is made of. */
export interface OpenedStableDiffusion<F> {
  readonly device: DeviceModel<StableDiffusionNetworks>;
  readonly folder: F;
  readonly adapters: Adapters;
  /** How the UNet's weights are streamed, where they are. */
  readonly stream: StreamLimits | undefined;
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
  let stream: StreamLimits | undefined;
  let reading = false;
  try {
    const { device, opened } = await DeviceModel.open<StableDiffusionNetworks, F>(
      names,
      options,
      async () => {
        refuseSafetyChecker(op, options);
        stream = streamLimits(op, options);
        return openNetworks();
      },
      async (networks, { tokenizer }, device) => {
        if (stream) device.stream(networks.unet, stream);
        adapters = new Adapters(networks, tokenizer, warner(options));
        reading = true;
        await adapters.loadAll(op, options);
      },
    );
    const own = adapters ?? new Adapters(device.networks, opened.tokenizer, warner(options));
    return { device, folder: opened, adapters: own, stream };
  } catch (error) {
    adapters?.close();
    if (!reading) await closeUnread(sourcesOf(options));
    throw error;
  }
}
