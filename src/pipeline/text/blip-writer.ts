/** What writes the captions of BLIP. It is loaded with the first captioner: generation is most of it. */
import { type NdArray, ndarray } from '../../core/ndarray.ts';
import type { TensorSource } from '../../core/tensor-source.ts';
import { readFloats } from '../../io/read-floats.ts';
import { type BlipModel, interpolatePositions, patchGrid } from '../../models/blip/index.ts';
import type { DeviceModel } from '../runtime/device-model.ts';
import { EncodedPictures } from './blip-encoded-pictures.ts';
import type { BlipFolder } from './blip-folder.ts';
import { TextWriter, type Writer } from './text-writer.ts';

/** Pictures as the captioner takes them. */
export interface PreparedPictures {
  /** [N, 3, H, W] */
  readonly pixels: NdArray;
  /** Stretches the position embeddings over pictures of another size than the trained one. Default false. */
  readonly interpolatePositions?: boolean | undefined;
}

/** The writer of a captioner. */
export function blipWriter(
  device: DeviceModel<{ readonly blip: BlipModel }>,
  folder: BlipFolder,
): Writer<PreparedPictures> {
  return new TextWriter<BlipModel, PreparedPictures, EncodedPictures>(device, (prepared, { model, source }) => {
    const { pixels, interpolatePositions: interpolated = false } = prepared;
    const [images = 0, , height = 0, width = 0] = pixels.shape;
    const key = `${images}x${height}x${width}${interpolated ? ' interpolated' : ''}`;
    return {
      key,
      make: async ({ memory }) => {
        const positions = interpolated ? await positionsFor(source, folder, { height, width }) : undefined;
        return EncodedPictures.create(memory, model, { key, shape: pixels.shape, positions });
      },
      encode: pictures => pictures.encode(pixels),
    };
  });
}

/** Position embeddings for pictures of any size -> [1, 1 + P, D] */
async function positionsFor(
  source: TensorSource,
  { config }: BlipFolder,
  { height, width }: { readonly height: number; readonly width: number },
): Promise<NdArray> {
  const stored = await readFloats(source, 'vision_model.embeddings.position_embedding');
  const table = ndarray(stored.data, stored.shape.slice(-2));
  const { data, shape } = interpolatePositions(table, patchGrid(config.vision, height, width));
  return ndarray(data, [1, ...shape]);
}
