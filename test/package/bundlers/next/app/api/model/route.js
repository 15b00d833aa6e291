import { DiffEditPipeline } from 'pentimento';
import { directory, readImage, requestGpu } from 'pentimento/node';

/** Opens the public model and picture on a device of the server's. */
export async function GET() {
  const gpu = await requestGpu();
  const pipe = await DiffEditPipeline.fromPretrained(await directory('public/model'), { gpu });
  const { width } = await readImage('public/picture.png');
  const { bytes } = pipe;
  pipe.dispose();
  gpu.dispose();
  return Response.json({ width, bytes });
}

export const dynamic = 'force-dynamic';
