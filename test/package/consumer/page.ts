// A strict program of a page: pictures, addresses, files and signals of the browser go in, its canvas comes out.
import { blobSource, encodeImage, fileListFolder, loadImage, type RgbImage, toCanvas, urlSource } from 'pentimento';
import { cachedFolder } from 'pentimento/page';

declare const image: RgbImage;
declare const files: File[];
declare const element: HTMLImageElement;
declare const drawn: HTMLCanvasElement;
declare const bitmap: ImageBitmap;
const { signal } = new AbortController();

export const canvas: OffscreenCanvas = toCanvas(image);
export const blob: Promise<Blob> = encodeImage(image, 'image/jpeg', 90);
export const folder = fileListFolder(files);
export const kept = (root: FileSystemDirectoryHandle) => cachedFolder(folder, { name: 'mine', root, signal });
export const loaded = [element, drawn, bitmap, canvas, new Blob([]), new URL('https://example.org/a.png')].map(input =>
  loadImage(input, { signal }),
);
export const sources = [blobSource(new Blob([])), urlSource(new URL('https://example.org/x'), { fetch, signal })];

// @ts-expect-error an element that is no picture
void loadImage(document.createElement('p'));
