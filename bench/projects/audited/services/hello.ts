import { service } from 'signalbox'

export default service({ handle: () => ({ message: 'How goes it?' }) })
