// What a user would write instead, with Kafka Streams, exactly once: decode JSON, look one address up in an MMDB
// file and one indicator in a hash table, write JSON. It keeps no state, scores nothing and shares with nobody.
//
//     Streams BOOTSTRAP APPLICATION FROM TO MMDB LIST STATE

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.maxmind.db.CHMCache;
import com.maxmind.db.Reader;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

public final class Streams {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] words) throws IOException {
        Reader places = new Reader(new File(words[4]), Reader.FileMode.MEMORY_MAPPED, new CHMCache());
        Map<String, String> list = list(Path.of(words[5]));

        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, words[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, words[1]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, words[6]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        // As Sightline's lanes have them.
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 5);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 1_000_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");

        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(words[2], Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
                .mapValues(value -> enriched(value, places, list))
                .to(words[3], Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler
                    .StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        // Whoever started it ends it.
        streams.start();
    }

    /** Indicators and what is said of them, of a CSV file with a header. */
    private static Map<String, String> list(Path file) throws IOException {
        Map<String, String> list = new HashMap<>(1 << 21);
        try (BufferedReader lines = Files.newBufferedReader(file)) {
            lines.readLine();
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                int comma = line.indexOf(',');
                list.put(line.substring(0, comma), line.substring(comma + 1));
            }
        }
        return list;
    }

    private static byte[] enriched(byte[] value, Reader places, Map<String, String> list) {
        try {
            ObjectNode record = (ObjectNode) JSON.readTree(value);
            String indicator = record.get("indicator").asText();
            // Names are not looked up; nobody should ask a DNS server here.
            if (Character.isDigit(indicator.charAt(0))) {
                JsonNode place = JSON.valueToTree(places.get(InetAddress.getByName(indicator), Map.class));
                record.set("place", place);
            }
            String listed = list.get(indicator);
            if (listed != null) {
                record.put("listed", listed);
            }
            return JSON.writeValueAsBytes(record);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
