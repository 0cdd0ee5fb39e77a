/** Reads .c8pc: quantised points in the OpenCV camera frame with colours, little endian. */

export interface PointCloud {
  /** xyz of each point, in the camera frame. */
  positions: Float32Array;
  colours: Uint8Array;
  isApproximate: boolean;
}

const HEADER_BYTES = 40;
const BYTES_PER_POINT = 9;

/** Raises RangeError saying what is wrong with a file that is not a whole point cloud. */
export function parsePointCloud(buffer: ArrayBuffer): PointCloud {
  if (buffer.byteLength < HEADER_BYTES) throw new RangeError(`A point cloud has a header of ${HEADER_BYTES} bytes, this has ${buffer.byteLength}.`);
  const view = new DataView(buffer);
  const magic = String.fromCharCode(...new Uint8Array(buffer, 0, 4));
  if (magic !== "C8PC") throw new RangeError(`A point cloud begins with C8PC, this with ${JSON.stringify(magic)}.`);
  const version = view.getUint32(4, true);
  if (version !== 1) throw new RangeError(`This page reads point clouds of version 1, not ${version}.`);
  const count = view.getUint32(8, true);
  const flags = view.getUint32(12, true);
  if (buffer.byteLength !== HEADER_BYTES + count * BYTES_PER_POINT) {
    throw new RangeError(`${count} points take ${HEADER_BYTES + count * BYTES_PER_POINT} bytes, this file has ${buffer.byteLength}.`);
  }
  const origin = [16, 20, 24].map((at) => view.getFloat32(at, true)) as [number, number, number];
  const step = [28, 32, 36].map((at) => view.getFloat32(at, true)) as [number, number, number];
  const quantised = new Uint16Array(buffer, HEADER_BYTES, count * 3);
  const positions = new Float32Array(count * 3);
  for (let i = 0; i < positions.length; i += 3) {
    positions[i] = origin[0] + (quantised[i] as number) * step[0];
    positions[i + 1] = origin[1] + (quantised[i + 1] as number) * step[1];
    positions[i + 2] = origin[2] + (quantised[i + 2] as number) * step[2];
  }
  return { positions, colours: new Uint8Array(buffer, HEADER_BYTES + count * 6, count * 3), isApproximate: (flags & 1) === 1 };
}
