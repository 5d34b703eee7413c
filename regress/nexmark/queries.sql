-- The queries of Nexmark over tables: windows of time are date_bin(), sessions are gaps between rows. q12 groups by the
-- time of processing, which a table does not have: here it is the time of the event. A case is a line of its name and
-- marks, then the query up to a semicolon at a line's end; `full` marks what is not maintained incrementally yet.

--- q0
SELECT auction, bidder, price, date_time, extra FROM bid;
--- q1
SELECT auction, bidder, 0.908 * price AS price, date_time, extra FROM bid;
--- q2
SELECT auction, price FROM bid WHERE auction % 123 = 0;
--- q3
SELECT p.name, p.city, p.state, a.id FROM auction AS a JOIN person AS p ON a.seller = p.id
 WHERE a.category = 10 AND (p.state = 'OR' OR p.state = 'ID' OR p.state = 'CA');
--- q4
SELECT q.category, avg(q.final) AS average
  FROM (SELECT max(b.price) AS final, a.category FROM auction a, bid b
         WHERE a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.expires
         GROUP BY a.id, a.category) q
 GROUP BY q.category;
--- q5
WITH counted AS (
    SELECT b.auction, w.start, count(*) AS num
      FROM bid b, generate_series(date_bin('2 seconds', b.date_time, timestamp '2024-01-01') - interval '8 seconds',
                                  date_bin('2 seconds', b.date_time, timestamp '2024-01-01'), interval '2 seconds') AS w (start)
     GROUP BY b.auction, w.start)
SELECT c.auction, c.num, c.start
  FROM counted c JOIN (SELECT max(num) AS num, start FROM counted GROUP BY start) m ON c.start = m.start AND c.num >= m.num;
--- q6
SELECT seller, date_time,
       avg(final) OVER (PARTITION BY seller ORDER BY date_time, id ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) AS average
  FROM (SELECT a.seller, a.id, max(b.price) AS final, max(b.date_time) AS date_time FROM auction a, bid b
         WHERE a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.expires
         GROUP BY a.id, a.seller) q;
--- q7
SELECT b.auction, b.price, b.bidder, b.date_time, b.extra
  FROM bid b
  JOIN (SELECT max(price) AS price, date_bin('10 seconds', date_time, timestamp '2024-01-01') AS start
          FROM bid GROUP BY date_bin('10 seconds', date_time, timestamp '2024-01-01')) m
    ON b.price = m.price AND b.date_time >= m.start AND b.date_time < m.start + interval '10 seconds';
--- q8
SELECT p.id, p.name, p.start
  FROM (SELECT id, name, date_bin('10 seconds', date_time, timestamp '2024-01-01') AS start FROM person
         GROUP BY id, name, date_bin('10 seconds', date_time, timestamp '2024-01-01')) p
  JOIN (SELECT seller, date_bin('10 seconds', date_time, timestamp '2024-01-01') AS start FROM auction
         GROUP BY seller, date_bin('10 seconds', date_time, timestamp '2024-01-01')) a
    ON p.id = a.seller AND p.start = a.start;
--- q9
SELECT id, item_name, description, initial_bid, reserve, date_time, expires, seller, category, extra, auction, bidder,
       price, bid_date_time
  FROM (SELECT a.*, b.auction, b.bidder, b.price, b.date_time AS bid_date_time,
               row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.date_time ASC, b.bidder) AS place
          FROM auction a, bid b WHERE a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.expires) q
 WHERE place <= 1;
--- q10
SELECT auction, bidder, price, date_time, extra, to_char(date_time, 'YYYY-MM-DD') AS day,
       to_char(date_time, 'HH24:MI') AS minute FROM bid;
--- q11
SELECT bidder, session, count(*) AS bid_count, min(date_time) AS starts, max(date_time) AS ends
  FROM (SELECT bidder, date_time,
               sum(fresh) OVER (PARTITION BY bidder ORDER BY date_time RANGE UNBOUNDED PRECEDING) AS session
          FROM (SELECT bidder, date_time,
                       CASE WHEN date_time - lag(date_time) OVER (PARTITION BY bidder ORDER BY date_time)
                                 <= interval '10 seconds' THEN 0 ELSE 1 END AS fresh FROM bid) q) r
 GROUP BY bidder, session;
--- q12
SELECT bidder, count(*) AS bid_count, date_bin('10 seconds', date_time, timestamp '2024-01-01') AS starts
  FROM bid GROUP BY bidder, date_bin('10 seconds', date_time, timestamp '2024-01-01');
--- q13
SELECT b.auction, b.bidder, b.price, b.date_time, s.value FROM bid b JOIN side_input s ON b.auction % 100 = s.key;
--- q14
SELECT auction, bidder, 0.908 * price AS price,
       CASE WHEN extract(hour FROM date_time) BETWEEN 8 AND 18 THEN 'day time'
            WHEN extract(hour FROM date_time) <= 6 OR extract(hour FROM date_time) >= 20 THEN 'night time'
            ELSE 'other time' END AS time_type,
       date_time, extra, count_char(extra, 'c') AS c_counts
  FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000;
--- q15
SELECT to_char(date_time, 'YYYY-MM-DD') AS day, count(*) AS total_bids,
       count(*) FILTER (WHERE price < 10000) AS rank1_bids,
       count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bids,
       count(*) FILTER (WHERE price >= 1000000) AS rank3_bids,
       count(DISTINCT bidder) AS total_bidders,
       count(DISTINCT bidder) FILTER (WHERE price < 10000) AS rank1_bidders,
       count(DISTINCT bidder) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bidders,
       count(DISTINCT bidder) FILTER (WHERE price >= 1000000) AS rank3_bidders,
       count(DISTINCT auction) AS total_auctions,
       count(DISTINCT auction) FILTER (WHERE price < 10000) AS rank1_auctions
  FROM bid GROUP BY to_char(date_time, 'YYYY-MM-DD');
--- q16
SELECT channel, to_char(date_time, 'YYYY-MM-DD') AS day, max(to_char(date_time, 'HH24:MI')) AS minute,
       count(*) AS total_bids, count(*) FILTER (WHERE price < 10000) AS rank1_bids,
       count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bids,
       count(DISTINCT bidder) AS total_bidders, count(DISTINCT bidder) FILTER (WHERE price >= 1000000) AS rank3_bidders,
       count(DISTINCT auction) AS total_auctions
  FROM bid GROUP BY channel, to_char(date_time, 'YYYY-MM-DD');
--- q17
SELECT auction, to_char(date_time, 'YYYY-MM-DD') AS day, count(*) AS total_bids,
       count(*) FILTER (WHERE price < 10000) AS rank1_bids,
       count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bids,
       min(price) AS min_price, max(price) AS max_price, avg(price) AS avg_price, sum(price) AS sum_price
  FROM bid GROUP BY auction, to_char(date_time, 'YYYY-MM-DD');
--- q18
SELECT auction, bidder, price, channel, url, date_time, extra
  FROM (SELECT *, row_number() OVER (PARTITION BY bidder, auction ORDER BY date_time DESC, price) AS place FROM bid) q
 WHERE place <= 1;
--- q19
SELECT auction, bidder, price, channel, date_time, place
  FROM (SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC, date_time, bidder) AS place FROM bid) q
 WHERE place <= 10;
--- q20
SELECT b.auction, b.bidder, b.price, b.channel, b.url, b.date_time, b.extra, a.item_name, a.description, a.initial_bid,
       a.reserve, a.date_time AS auction_date_time, a.expires, a.seller, a.category
  FROM bid b JOIN auction a ON b.auction = a.id WHERE a.category = 10;
--- q21
SELECT auction, bidder, price, channel,
       CASE WHEN lower(channel) = 'apple' THEN '0' WHEN lower(channel) = 'google' THEN '1'
            WHEN lower(channel) = 'facebook' THEN '2' WHEN lower(channel) = 'baidu' THEN '3'
            ELSE substring(url FROM '(?:&|^)channel_id=([^&]*)') END AS channel_id
  FROM bid
 WHERE substring(url FROM '(?:&|^)channel_id=([^&]*)') IS NOT NULL
    OR lower(channel) IN ('apple', 'google', 'facebook', 'baidu');
--- q22
SELECT auction, bidder, price, channel, split_part(url, '/', 4) AS dir1, split_part(url, '/', 5) AS dir2,
       split_part(url, '/', 6) AS dir3 FROM bid;
