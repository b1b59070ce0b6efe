import type { FileHandle } from 'node:fs/promises';
import { compositeSourceType } from './manifest-definition.ts';
import { boxOf, hasUserType, type Mp4Box } from './mp4-boxes.ts';

/** The user type of the box that holds an XMP packet in an MP4 file (XMP specification, part 3, section 1.2.7). */
const xmpUserType = Buffer.from('be7acfcb97a942e89c71999491e3afac', 'hex');

/** Read-only (`end="r"`), because a changed packet breaks the manifest. It states nothing but the source type. */
const sourceTypePacket = [
  '<?xpacket begin="\uFEFF" id="W5M0MpCehiHzreSzNTczkc9d"?>',
  '<x:xmpmeta xmlns:x="adobe:ns:meta/">',
  '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">',
  '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">',
  `<Iptc4xmpExt:DigitalSourceType>${compositeSourceType}</Iptc4xmpExt:DigitalSourceType>`,
  '</rdf:Description>',
  '</rdf:RDF>',
  '</x:xmpmeta>',
  '<?xpacket end="r"?>',
].join('\n');

/** Returns the box with the IPTC digital source type of an output as XMP. Pure. */
export function sourceTypeBox(): Buffer {
  return boxOf('uuid', xmpUserType, Buffer.from(sourceTypePacket));
}

/** Whether a box holds an XMP packet. */
export function isXmpBox(file: FileHandle, box: Mp4Box): Promise<boolean> {
  return hasUserType(file, box, xmpUserType);
}
